/*
 * vnx fuzz target: the packet parser, rewriting and building (U5, T1, T3, T4, T10)
 *
 * Input: a control byte (bits 0-1: virtio-net header length, bit 2: direction, bits
 * 3-4: number of cuts), a byte for each cut (its distance from the last), the frame.
 * Seeds are written by "test-packet --write-seeds DIR".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../packet-check.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t vnet_lens[] = { 0, 10, 12, 20 };
    size_t cut[3], at = 0;
    unsigned control, n;

    if (size < 4) {
        return 0;
    }
    control = data[0];
    n = control >> 3 & 3;
    for (unsigned i = 0; i < n; i++) {
        at += data[1 + i];
        cut[i] = at;
    }
    check_packet(data + 1 + n, size - 1 - n, cut, n, vnet_lens[control & 3],
                 control & 4 ? VNX_TO_NET : VNX_TO_GUEST);
    return 0;
}

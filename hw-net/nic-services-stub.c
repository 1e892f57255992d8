/*
 * vnx: what the net side may ask a NIC, in an emulator without virtio-net
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/net/vnx/nic-services.h"

VnxNicOffloads vnx_nic_guest_offloads(NetClientState *nic)
{
    return (VnxNicOffloads) { 0 };
}

unsigned vnx_nic_queues(NetClientState *nic)
{
    return 0;
}

bool vnx_nic_rx_unconsumed(NetClientState *nic, VnxRxMark *mark)
{
    return false;
}

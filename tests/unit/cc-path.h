/*
 * vnx: unit tests of congestion control - a path with a round-trip time, in virtual time
 *
 * All that cwnd allows is sent, and acknowledged a round trip later, spread evenly
 * over it: as a long path with one flow does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef CC_PATH_H
#define CC_PATH_H

#include <glib.h>
#include <math.h>

#include <vnx/cc.h>

#define MSS 1460u
#define MS 1000000ll

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VnxCc, vnx_cc_stop)

static inline void cc_begin_at(VnxCc *cc, const char *name, uint32_t initial_segments,
                               int64_t now_ns)
{
    const VnxCcOps *ops = vnx_cc_find(name);

    g_assert_nonnull(ops);
    vnx_cc_start(cc, ops, MSS, &(VnxCcParams) {
        .initial_window = initial_segments,
        .increase_percent = 100,
    }, now_ns);
}

static inline void cc_begin(VnxCc *cc, const char *name, uint32_t initial_segments)
{
    cc_begin_at(cc, name, initial_segments, 0);
}

static inline void cc_ack(VnxCc *cc, uint32_t acked, uint32_t in_flight, int64_t now_ns,
                          int64_t rtt_ns)
{
    VnxCcAck a = {
        .now_ns = now_ns,
        .acked = acked,
        .delivered = acked,
        .in_flight = in_flight,
        .rtt_ns = rtt_ns,
        .srtt_ns = rtt_ns,
        .min_rtt_ns = rtt_ns,
        .cwnd_limited = true,
    };

    vnx_cc_ack(cc, &a);
}

/* One round trip of @rtt_ns, with an ACK for each @segments. */
static inline void cc_round(VnxCc *cc, uint32_t segments, int64_t *now_ns, int64_t rtt_ns)
{
    uint32_t flight = cc->cwnd, left = flight;
    int64_t begun = *now_ns;

    while (left) {
        uint32_t n = MIN(left, segments * MSS);

        left -= n;
        *now_ns = begun + rtt_ns * (flight - left) / flight;
        cc_ack(cc, n, flight, *now_ns, rtt_ns);
    }
}

/* @value is within @percent of @expected. */
static inline void assert_near(double value, double expected, double percent)
{
    if (fabs(value - expected) > fabs(expected) * percent / 100) {
        g_error("%.4f is not within %.2f %% of %.4f", value, percent, expected);
    }
}

#endif /* CC_PATH_H */

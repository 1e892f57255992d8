/*
 * vnx: congestion control "bbr" - by a model of the path (BBRv3, draft-ietf-ccwg-bbr)
 *
 * What a path can carry is its bandwidth times its round trip; more than that under way
 * only waits somewhere.  BBR measures both, the largest delivery rate of the last two
 * probing cycles and the least RTT of ten seconds, and sends at that rate, paced, with about
 * two such products as the window.  Losses do not halve it; they bound the model:
 *
 *  - long:  what was under way when probing lost more than 2 %: inflight_long;
 *  - short: while not probing, a round trip with losses lowers rate and window to
 *    what it still delivered, but by no more than 30 %; forgotten before the next probe.
 *
 *     STARTUP ──rate no longer grows──▶ DRAIN ──queue gone──▶ DOWN ──▶ CRUISE
 *     2.77 x,                            0.5 x                0.9 x     1 x  │ 2-3 s, or
 *     rate doubles                                              ▲            ▼ 63 round trips
 *                          no more to gain, or 2 % lost         └─ UP ◀── REFILL
 *     PROBE_RTT: when the least RTT is 10 s old: half           1.25 x      1 x
 *     the window for 200 ms, then DOWN's end, or STARTUP
 *
 * Names are the draft's, where it has some (inflight_longterm is inflight_long).  Rounds are
 * counted by bytes delivered: one ends when what was sent after its beginning arrives.
 *
 * Where this is coarser than the draft: losses are judged when an ACK reports them, by
 * what was under way when the newest thing that it acknowledges left, not for each lost
 * segment; the six lost ranges that end STARTUP are six ACKs that report losses; the
 * randomness of the probing interval is taken from the clock; the aggregation filter's ten
 * rounds are two halves of five.  ECN: a mark is a loss for the short model, as
 * the draft says nothing and RFC 3168 asks for a response.
 *
 * Configuration: initial window only.  BBR has no ssthresh, no additive increase; its decrease
 * is what the path still delivers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* Gains, in percent (4.3, the table in 4.6.1) */
#define STARTUP_GAIN            277u
#define DRAIN_GAIN              50u
#define DOWN_GAIN               90u
#define UP_GAIN                 125u
#define CWND_GAIN               200u
#define UP_CWND_GAIN            225u
#define PROBE_RTT_CWND_GAIN     50u
#define PACING_MARGIN           99u         /* a little below the bandwidth, for low queues */
#define FULL_BW_GAIN            125u        /* growth that says that the pipe is not full */

#define FULL_BW_ROUNDS          3u
#define FULL_LOSS_EVENTS        6u
#define LOSS_THRESH_PERCENT     2u
#define BETA_PERCENT            70u
#define HEADROOM_PERCENT        15u
#define MIN_PIPE_SEGMENTS       4u
#define DRAIN_ROUNDS            3u
#define EXTRA_ACKED_ROUNDS      5u          /* half of the filter's length */
#define RENO_ROUNDS             63u
#define MIN_RTT_WINDOW_NS       (10 * NS_PER_S)
#define PROBE_RTT_NS            (200 * NS_PER_MS)
#define PROBE_WAIT_MS           2000u       /* and up to one second more */

#define NO_BOUND                UINT32_MAX
#define NO_BOUND_BW             UINT64_MAX
/* 137 GB/s: keeps products with times in 64 bits */
#define BW_MAX                  (UINT64_C(1) << 37)
#define RTT_MAX_US              (1u << 26)

typedef enum BbrPhase {
    STARTUP,
    DRAIN,
    DOWN,
    CRUISE,
    REFILL,
    UP,
    PROBE_RTT,
} BbrPhase;

/* What an ACK tells of the probe (the draft's ack_phase) */
typedef enum BbrProbe {
    PROBE_NONE,
    PROBE_REFILLING,
    PROBE_STARTING,
    PROBE_FEEDBACK,
    PROBE_STOPPING,
} BbrProbe;

typedef struct BbrState {
    /* the model: bytes per second, bytes */
    uint64_t max_bw[2];         /* of this cycle and the last one */
    uint64_t bw_short;
    uint64_t bw_latest;         /* most in this round trip */
    uint64_t full_bw;           /* to see growth from */
    uint64_t rate;              /* to send at */
    uint32_t inflight_long;
    uint32_t inflight_short;
    uint32_t inflight_latest;
    uint32_t extra_acked[2];    /* most that came at once, of the last rounds */
    uint32_t extra_delivered;
    uint32_t min_rtt_us;        /* 0: not known */

    /* rounds end when "delivered" has come so far */
    uint64_t round_end;
    uint64_t loss_round_end;
    uint64_t ignore_until;      /* samples are of PROBE_RTT's small window */
    uint32_t rounds;
    uint32_t drain_round;
    uint32_t extra_round;
    uint32_t rounds_since_up;

    int64_t min_rtt_ns;         /* when min_rtt was measured */
    int64_t cycle_ns;           /* when this cycle began */
    int64_t probe_rtt_end_ns;   /* 0: still going down */
    int64_t extra_since_ns;

    uint32_t wait_ms;           /* until the next probe */
    uint32_t up_acked;
    uint32_t up_per_segment;    /* acknowledged bytes that raise inflight_long by one */
    uint32_t prior_cwnd;
    uint32_t probe_rtt_cwnd;

    /* as they were before the last loss */
    uint64_t undo_bw_short;
    uint32_t undo_inflight_short;
    uint32_t undo_inflight_long;

    uint8_t phase;              /* BbrPhase */
    uint8_t probe;              /* BbrProbe */
    uint8_t undo_phase;         /* left for a loss; PROBE_RTT: none */
    uint8_t full_bw_count;
    uint8_t up_rounds;
    uint8_t loss_events;        /* in this round */
    bool full_bw_now;
    bool full_bw_reached;
    bool probe_sample;          /* ACKs are of what the probe sent */
    bool too_high;              /* the last probe lost too much */
    bool precautionary;         /* it stopped at inflight_long */
    bool loss_in_round;
    bool recovery;
    bool rtt_round_done;
    bool idle_restart;
    bool round_start;           /* of the ACK in hand */
} BbrState;

static uint64_t percent(uint64_t value, unsigned p)
{
    return value * p / 100;
}

static uint64_t max_bw(const BbrState *s)
{
    return MAX(s->max_bw[0], s->max_bw[1]);
}

static uint64_t bw(const BbrState *s)
{
    return MIN(max_bw(s), s->bw_short);
}

static uint32_t min_pipe(const VnxCc *cc)
{
    return MIN_PIPE_SEGMENTS * cc->mss;
}

/* @gain percent of what the path holds at rate @rate. */
static uint32_t bdp(const BbrState *s, const VnxCc *cc, uint64_t rate, unsigned gain)
{
    uint64_t bytes;

    if (!s->min_rtt_us || !rate) {
        return vnx_cc_initial_window(cc);
    }
    bytes = MIN(rate, BW_MAX) * s->min_rtt_us / 1000000;
    return MIN(percent(bytes, gain), VNX_CC_CWND_MAX);
}

/* Room for what the hosts hold back to send and to acknowledge it at once. */
static uint32_t with_quantum(const BbrState *s, const VnxCc *cc, uint32_t window)
{
    uint32_t three = 3 * vnx_cc_quantum(s->rate, cc->mss);

    window = MAX(MAX(window, three), min_pipe(cc));
    return s->phase == UP ? window + 2 * cc->mss : window;
}

static uint32_t with_headroom(const BbrState *s, const VnxCc *cc)
{
    uint32_t room;

    if (s->inflight_long == NO_BOUND) {
        return NO_BOUND;
    }
    room = MAX(percent(s->inflight_long, HEADROOM_PERCENT), cc->mss);
    return MAX(s->inflight_long - MIN(room, s->inflight_long), min_pipe(cc));
}

static bool probing_phase(const BbrState *s)
{
    return s->phase == STARTUP || s->phase == REFILL || s->phase == UP;
}

static bool cycling(const BbrState *s)
{
    return s->phase >= DOWN && s->phase <= UP;
}

static unsigned pacing_gain(const BbrState *s)
{
    static const uint16_t gain[] = {
        [STARTUP] = STARTUP_GAIN, [DRAIN] = DRAIN_GAIN, [DOWN] = DOWN_GAIN, [CRUISE] = 100,
        [REFILL] = 100, [UP] = UP_GAIN, [PROBE_RTT] = 100,
    };

    return gain[s->phase];
}

static void set_rate(BbrState *s, unsigned gain)
{
    uint64_t rate = percent(percent(MIN(bw(s), BW_MAX), gain), PACING_MARGIN);

    if (s->full_bw_reached || rate > s->rate) {
        s->rate = MAX(rate, 1);
    }
}

/* ---- phases ---- */

static void start_round(BbrState *s, const VnxCcRate *rate)
{
    s->round_end = rate->total;
}

static void reset_full_bw(BbrState *s)
{
    s->full_bw = 0;
    s->full_bw_count = 0;
    s->full_bw_now = false;
}

static void forget_congestion(BbrState *s)
{
    s->loss_in_round = false;
    s->bw_latest = 0;
    s->inflight_latest = 0;
}

static void forget_short(BbrState *s)
{
    s->bw_short = NO_BOUND_BW;
    s->inflight_short = NO_BOUND;
}

static void go_down(BbrState *s, const VnxCcRate *rate, int64_t now_ns)
{
    /* any number will do, if only flows do not all have the same */
    uint32_t dice = (uint64_t)(now_ns + rate->total) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    forget_congestion(s);
    s->up_per_segment = NO_BOUND;
    s->rounds_since_up = dice & 1;
    s->wait_ms = PROBE_WAIT_MS + (dice >> 1) % 1000;
    s->cycle_ns = now_ns;
    s->probe = PROBE_STOPPING;
    start_round(s, rate);
    s->phase = DOWN;
}

static void go_refill(BbrState *s, const VnxCcRate *rate)
{
    forget_short(s);
    s->up_rounds = 0;
    s->up_acked = 0;
    s->precautionary = false;
    s->probe = PROBE_REFILLING;
    start_round(s, rate);
    s->phase = REFILL;
}

/* inflight_long grows by 1, 2, 4 ... segments in a round trip of UP. */
static void steepen(BbrState *s, const VnxCc *cc)
{
    s->up_per_segment = MAX(cc->cwnd >> s->up_rounds, cc->mss);
    s->up_rounds = MIN(s->up_rounds + 1, 30);
}

static void go_up(BbrState *s, const VnxCc *cc, const VnxCcRate *rate, uint64_t sample)
{
    s->probe = PROBE_STARTING;
    start_round(s, rate);
    reset_full_bw(s);
    s->full_bw = sample;
    s->phase = UP;
    steepen(s, cc);
}

/* ---- the model ---- */

static void update_bw(BbrState *s, uint64_t sample, const VnxCcRate *rate)
{
    bool limited = rate->app_limited || rate->prior < s->ignore_until;

    if (sample && (sample >= max_bw(s) || !limited)) {
        s->max_bw[0] = MAX(s->max_bw[0], sample);
    }
}

/* Bytes that come in bunches, beyond what the rate makes expect. */
static void update_extra(BbrState *s, const VnxCc *cc, const VnxCcAck *ack)
{
    uint64_t us = (ack->now_ns - s->extra_since_ns) / 1000;
    uint64_t expected = us < RTT_MAX_US ? MIN(bw(s), BW_MAX) * us / 1000000 : UINT64_MAX;
    uint32_t extra;

    if (s->extra_delivered <= expected) {
        s->extra_delivered = 0;
        s->extra_since_ns = ack->now_ns;
        expected = 0;
    }
    s->extra_delivered = vnx_cc_add(s->extra_delivered, ack->delivered);
    extra = MIN(s->extra_delivered - expected, cc->cwnd);
    if (s->rounds - s->extra_round >= (s->full_bw_reached ? EXTRA_ACKED_ROUNDS : 1)) {
        s->extra_acked[1] = s->full_bw_reached ? s->extra_acked[0] : 0;
        s->extra_acked[0] = 0;
        s->extra_round = s->rounds;
    }
    s->extra_acked[0] = MAX(s->extra_acked[0], extra);
}

static void note_loss(BbrState *s, const VnxCcRate *rate)
{
    if (!s->loss_in_round) {
        s->loss_round_end = rate->total;
        s->undo_phase = PROBE_RTT;
        s->undo_bw_short = s->bw_short;
        s->undo_inflight_short = s->inflight_short;
        s->undo_inflight_long = s->inflight_long;
    }
    s->loss_in_round = true;
    s->loss_events = MIN(s->loss_events + 1, UINT8_MAX);
}

static bool inflight_too_high(const VnxCcRate *rate)
{
    return rate->interval_ns &&
           rate->lost > percent(rate->in_flight, LOSS_THRESH_PERCENT);
}

/* Once in a round trip with losses, unless they were provoked. */
static void adapt_short(BbrState *s, const VnxCc *cc)
{
    if (probing_phase(s) || !s->loss_in_round) {
        return;
    }
    if (s->bw_short == NO_BOUND_BW) {
        s->bw_short = max_bw(s);
    }
    if (s->inflight_short == NO_BOUND) {
        s->inflight_short = cc->cwnd;
    }
    s->bw_short = MAX(s->bw_latest, percent(s->bw_short, BETA_PERCENT));
    s->inflight_short = MAX(s->inflight_latest, percent(s->inflight_short, BETA_PERCENT));
}

static void check_full_bw(BbrState *s, uint64_t sample, const VnxCcRate *rate)
{
    if (s->full_bw_now || !s->round_start || rate->app_limited || !sample) {
        return;
    }
    if (sample >= percent(s->full_bw, FULL_BW_GAIN)) {
        reset_full_bw(s);
        s->full_bw = sample;
    } else if (++s->full_bw_count >= FULL_BW_ROUNDS) {
        s->full_bw_now = s->full_bw_reached = true;
    }
}

static void check_startup(BbrState *s, const VnxCc *cc, const VnxCcAck *ack)
{
    if (s->phase != STARTUP) {
        return;
    }
    if (s->round_start && s->recovery && ack->recovery &&
        s->loss_events >= FULL_LOSS_EVENTS && inflight_too_high(&ack->rate)) {
        s->undo_phase = STARTUP;
        s->full_bw_reached = true;
        s->inflight_long = MAX(bdp(s, cc, bw(s), 100), s->inflight_latest);
    }
    if (s->full_bw_reached) {
        s->phase = DRAIN;
        s->drain_round = s->rounds;
    }
}

static void check_drain(BbrState *s, const VnxCc *cc, const VnxCcAck *ack, uint32_t flight)
{
    if (s->phase == DRAIN && (flight <= with_quantum(s, cc, bdp(s, cc, bw(s), 100)) ||
                              s->rounds > s->drain_round + DRAIN_ROUNDS)) {
        go_down(s, &ack->rate, ack->now_ns);
    }
}

/* The probe went too far: remember where, and stop it. */
static void too_high(BbrState *s, const VnxCc *cc, const VnxCcAck *ack)
{
    uint32_t target = MIN(bdp(s, cc, bw(s), 100), cc->cwnd);

    s->too_high = true;
    s->probe_sample = false;
    if (!ack->rate.app_limited) {
        s->inflight_long = MAX(ack->rate.in_flight, percent(target, BETA_PERCENT));
    }
    if (s->phase == UP) {
        s->undo_phase = UP;
        go_down(s, &ack->rate, ack->now_ns);
    }
}

/* What the probe taught; true: it has led to another phase. */
static bool adapt_long(BbrState *s, const VnxCc *cc, const VnxCcAck *ack)
{
    if (s->probe == PROBE_STARTING && s->round_start) {
        s->probe = PROBE_FEEDBACK;
    }
    if (s->probe == PROBE_STOPPING && s->round_start) {
        s->probe_sample = false;
        s->probe = PROBE_NONE;
        if (cycling(s) && !ack->rate.app_limited) {
            s->max_bw[1] = s->max_bw[0];        /* the next cycle begins */
            s->max_bw[0] = 0;
        }
        if (cycling(s) && s->precautionary && !s->too_high) {
            go_refill(s, &ack->rate);
            return true;
        }
    }
    if (inflight_too_high(&ack->rate)) {
        if (s->probe_sample && ack->lost) {
            too_high(s, cc, ack);
            return true;
        }
        return false;
    }
    if (s->inflight_long == NO_BOUND) {
        return false;
    }
    if (ack->rate.interval_ns && ack->rate.in_flight > s->inflight_long) {
        s->inflight_long = ack->rate.in_flight;
    }
    if (s->phase == UP && ack->cwnd_limited && cc->cwnd >= s->inflight_long) {
        uint32_t segments;

        s->up_acked = vnx_cc_add(s->up_acked, ack->delivered);
        segments = s->up_acked / s->up_per_segment;
        s->up_acked -= segments * s->up_per_segment;
        s->inflight_long = vnx_cc_add(s->inflight_long, MIN((uint64_t)segments * cc->mss,
                                                            VNX_CC_CWND_MAX));
        if (s->round_start) {
            steepen(s, cc);
        }
    }
    return false;
}

static bool time_to_probe(const BbrState *s, const VnxCc *cc, int64_t now_ns)
{
    uint32_t target = MIN(bdp(s, cc, bw(s), 100), cc->cwnd) / cc->mss;

    return now_ns > s->cycle_ns + s->wait_ms * NS_PER_MS ||
           s->rounds_since_up >= MIN(target, RENO_ROUNDS);
}

static bool time_to_go_down(BbrState *s, const VnxCc *cc, const VnxCcAck *ack,
                            uint32_t flight, uint64_t sample)
{
    if (s->too_high && flight >= s->inflight_long) {
        s->precautionary = true;
        return true;
    }
    if (ack->cwnd_limited && cc->cwnd >= s->inflight_long) {
        reset_full_bw(s);       /* it is the bound that limits the rate */
        s->full_bw = sample;
        return false;
    }
    return s->full_bw_now;
}

static void update_cycle(BbrState *s, const VnxCc *cc, const VnxCcAck *ack,
                         uint32_t flight, uint64_t sample)
{
    if (!s->full_bw_reached || adapt_long(s, cc, ack)) {
        return;
    }
    switch (s->phase) {
    case DOWN:
    case CRUISE:
        if (time_to_probe(s, cc, ack->now_ns)) {
            go_refill(s, &ack->rate);
        } else if (s->phase == DOWN && flight <= with_headroom(s, cc) &&
                   flight <= with_quantum(s, cc, bdp(s, cc, max_bw(s), 100))) {
            s->phase = CRUISE;
        }
        break;
    case REFILL:
        if (s->round_start) {
            s->probe_sample = true;
            go_up(s, cc, &ack->rate, sample);
        }
        break;
    case UP:
        if (time_to_go_down(s, cc, ack, flight, sample)) {
            s->too_high = false;
            go_down(s, &ack->rate, ack->now_ns);
        }
        break;
    default:
        break;
    }
}

/* ---- the least round trip ---- */

static void end_probe_rtt(BbrState *s, VnxCc *cc, const VnxCcRate *rate, int64_t now_ns)
{
    s->min_rtt_ns = now_ns;
    cc->cwnd = MAX(cc->cwnd, s->prior_cwnd);
    forget_short(s);
    if (s->full_bw_reached) {
        go_down(s, rate, now_ns);
        s->phase = CRUISE;      /* the queue is gone already */
    } else {
        s->phase = STARTUP;
    }
}

static void save_cwnd(BbrState *s, const VnxCc *cc)
{
    s->prior_cwnd = s->recovery || s->phase == PROBE_RTT ? MAX(s->prior_cwnd, cc->cwnd)
                                                         : cc->cwnd;
}

static void update_min_rtt(BbrState *s, VnxCc *cc, const VnxCcAck *ack, uint32_t flight)
{
    bool expired = ack->now_ns > s->min_rtt_ns + MIN_RTT_WINDOW_NS;

    if (expired && s->phase != PROBE_RTT) {     /* by the RTT that is still believed */
        s->probe_rtt_cwnd = MAX(bdp(s, cc, bw(s), PROBE_RTT_CWND_GAIN), min_pipe(cc));
    }
    if (ack->rtt_ns > 0) {
        uint32_t us = CLAMP(ack->rtt_ns / 1000, 1, RTT_MAX_US);

        if (!s->min_rtt_us || us < s->min_rtt_us || expired) {
            s->min_rtt_us = us;
            s->min_rtt_ns = ack->now_ns;
        }
    }
    if (expired && s->phase != PROBE_RTT && !s->idle_restart) {
        save_cwnd(s, cc);
        s->phase = PROBE_RTT;
        s->probe_rtt_end_ns = 0;
        s->probe = PROBE_STOPPING;
        start_round(s, &ack->rate);
    }
    if (s->phase == PROBE_RTT) {
        s->ignore_until = ack->rate.total + flight;
        if (!s->probe_rtt_end_ns) {
            if (flight <= s->probe_rtt_cwnd) {
                s->probe_rtt_end_ns = ack->now_ns + PROBE_RTT_NS;
                s->rtt_round_done = false;
                start_round(s, &ack->rate);
            }
        } else {
            s->rtt_round_done |= s->round_start;
            if (s->rtt_round_done && ack->now_ns > s->probe_rtt_end_ns) {
                end_probe_rtt(s, cc, &ack->rate, ack->now_ns);
            }
        }
    }
    if (ack->delivered) {
        s->idle_restart = false;
    }
}

/* ---- the window ---- */

static void set_cwnd(BbrState *s, VnxCc *cc, const VnxCcAck *ack)
{
    unsigned gain = s->phase == UP ? UP_CWND_GAIN :
                    s->phase == PROBE_RTT ? PROBE_RTT_CWND_GAIN : CWND_GAIN;
    uint32_t extra = MAX(s->extra_acked[0], s->extra_acked[1]), cap = NO_BOUND;
    uint32_t most = with_quantum(s, cc, vnx_cc_add(bdp(s, cc, bw(s), gain), extra));

    if (s->full_bw_reached) {
        cc->cwnd = MIN(vnx_cc_add(cc->cwnd, ack->delivered), most);
    } else if (cc->cwnd < most || ack->rate.total < vnx_cc_initial_window(cc)) {
        cc->cwnd = vnx_cc_add(cc->cwnd, ack->delivered);
    }
    if (cycling(s) && s->phase != CRUISE) {
        cap = s->inflight_long;
    } else if (s->phase == PROBE_RTT || s->phase == CRUISE) {
        cap = with_headroom(s, cc);
    }
    cap = MIN(cap, s->inflight_short);
    if (s->phase == PROBE_RTT) {
        cap = MIN(cap, s->probe_rtt_cwnd);
    }
    cc->cwnd = MAX(MIN(cc->cwnd, cap), min_pipe(cc));
}

/* ---- the contract ---- */

static void bbr_init(VnxCc *cc, int64_t now_ns)
{
    BbrState *s = cc->state;

    cc->cwnd = vnx_cc_initial_window(cc);
    cc->ssthresh = VNX_CC_UNLIMITED;
    s->min_rtt_ns = s->cycle_ns = s->extra_since_ns = now_ns;
    s->inflight_long = NO_BOUND;
    s->up_per_segment = NO_BOUND;
    s->undo_phase = PROBE_RTT;
    forget_short(s);
}

static void bbr_on_sample(VnxCc *cc, const VnxCcAck *ack)
{
    BbrState *s = cc->state;
    const VnxCcRate *rate = &ack->rate;
    uint64_t sample = 0;
    uint32_t gone = vnx_cc_add(ack->delivered, ack->lost);
    uint32_t flight = ack->in_flight - MIN(ack->in_flight, gone);
    bool loss_round = false;

    if (rate->interval_ns) {
        sample = MIN(rate->delivered, UINT32_MAX) * NS_PER_S / rate->interval_ns;
    }
    if (ack->lost) {
        note_loss(s, rate);
    }
    s->bw_latest = MAX(s->bw_latest, sample);
    s->inflight_latest = MAX(s->inflight_latest, MIN(rate->delivered, VNX_CC_CWND_MAX));
    s->round_start = ack->delivered && rate->prior >= s->round_end;
    if (s->round_start) {
        start_round(s, rate);
        s->rounds++;
        s->rounds_since_up++;
    }
    if (ack->delivered && rate->prior >= s->loss_round_end) {
        s->loss_round_end = rate->total;
        loss_round = true;
    }
    update_bw(s, sample, rate);
    if (loss_round) {
        adapt_short(s, cc);
        s->loss_in_round = false;
    }
    update_extra(s, cc, ack);
    check_full_bw(s, sample, rate);
    check_startup(s, cc, ack);
    check_drain(s, cc, ack, flight);
    update_cycle(s, cc, ack, flight, sample);
    update_min_rtt(s, cc, ack, flight);
    if (loss_round) {
        s->bw_latest = sample;
        s->inflight_latest = MIN(rate->delivered, VNX_CC_CWND_MAX);
    }
    if (s->round_start) {
        s->loss_events = 0;
    }
    s->recovery = ack->recovery;
    set_rate(s, pacing_gain(s));
    set_cwnd(s, cc, ack);
}

static void bbr_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    BbrState *s = cc->state;

    if (kind == VNX_CC_LOSS_ECN) {      /* this round trip is one with losses */
        note_loss(s, &(VnxCcRate) { .total = s->round_end });
        return;
    }
    save_cwnd(s, cc);
    s->recovery = true;
    if (kind == VNX_CC_LOSS_RTO) {
        cc->cwnd = cc->mss;
    }
}

static void bbr_on_recovered(VnxCc *cc, int64_t now_ns)
{
    BbrState *s = cc->state;

    s->recovery = false;
    cc->cwnd = MAX(cc->cwnd, s->prior_cwnd);
}

static void bbr_on_undo(VnxCc *cc, int64_t now_ns)
{
    BbrState *s = cc->state;

    s->recovery = s->loss_in_round = false;
    reset_full_bw(s);
    s->bw_short = MAX(s->bw_short, s->undo_bw_short);
    s->inflight_short = MAX(s->inflight_short, s->undo_inflight_short);
    s->inflight_long = MAX(s->inflight_long, s->undo_inflight_long);
    cc->cwnd = MAX(cc->cwnd, s->prior_cwnd);
    if (s->undo_phase == STARTUP && s->phase != STARTUP) {
        s->full_bw_reached = false;
        if (s->phase != PROBE_RTT) {
            s->phase = STARTUP;
        }
    } else if (s->undo_phase == UP && s->phase != UP && s->phase != PROBE_RTT) {
        go_refill(s, &(VnxCcRate) { .total = s->round_end });
    }
    s->undo_phase = PROBE_RTT;
}

/* Nothing is under way: no drain is needed, and the rate is that of the path. */
static void bbr_on_idle(VnxCc *cc, int64_t idle_ns, int64_t unused_ns, int64_t now_ns)
{
    BbrState *s = cc->state;

    if (!idle_ns) {
        return;
    }
    s->idle_restart = true;
    s->extra_since_ns = now_ns;
    s->extra_delivered = 0;
    if (cycling(s)) {
        set_rate(s, 100);
    } else if (s->phase == PROBE_RTT && s->probe_rtt_end_ns &&
               now_ns > s->probe_rtt_end_ns) {
        end_probe_rtt(s, cc, &(VnxCcRate) { .total = s->round_end }, now_ns);
    }
}

static uint64_t bbr_pacing_rate(const VnxCc *cc, int64_t srtt_ns)
{
    const BbrState *s = cc->state;
    uint64_t window = (uint64_t)vnx_cc_initial_window(cc) * STARTUP_GAIN / 100;

    /* no rate yet: the first window in the first round trip, or in a millisecond */
    return s->rate ? s->rate : window * NS_PER_S / (srtt_ns > 0 ? srtt_ns : NS_PER_MS);
}

const VnxCcOps vnx_cc_bbr = {
    .name = "bbr",
    .state_size = sizeof(BbrState),
    .own_recovery = true,
    .init = bbr_init,
    .on_sample = bbr_on_sample,
    .on_loss = bbr_on_loss,
    .on_recovered = bbr_on_recovered,
    .on_undo = bbr_on_undo,
    .on_idle = bbr_on_idle,
    .pacing_rate = bbr_pacing_rate,
};

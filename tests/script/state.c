/*
 * vnx script runner: lines that ask for counters and for the state of a flow
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "script.h"

static void stat_step(World *w, Words *ws)
{
    static const struct { const char *name; size_t off; } names[] = {
#define VNX_X(c, qmp, text) { qmp, G_STRUCT_OFFSET(VnxVtcpStats, c) },
        VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
        { "buffer-used", G_STRUCT_OFFSET(VnxVtcpStats, buffer_used) },
        { "buffer-reserved", G_STRUCT_OFFSET(VnxVtcpStats, buffer_reserved) },
        { "undelivered", G_STRUCT_OFFSET(VnxVtcpStats, undelivered) },
    };
    VnxVtcpStats stats;
    const char *name;

    vnx_vtcp_stats(w->vtcp, &stats);
    while ((name = word(ws))) {
        Want want = parse_op(w, ws);
        uint64_t got = 0;
        unsigned i;

        want.v = parse_number(w, need_word(w, ws, "a value"));
        for (i = 0; i < G_N_ELEMENTS(names) && strcmp(names[i].name, name); i++) {
        }
        if (i < G_N_ELEMENTS(names)) {
            memcpy(&got, (char *)&stats + names[i].off, sizeof(got));
        } else if (!strcmp(name, "flows")) {
            got = stats.flows;
        } else if (!strcmp(name, "out-of-order-queues")) {
            got = stats.ooo_queues;
        } else if (!strcmp(name, "half-open")) {
            got = stats.half_open;
        } else {
            fail(w, "script: no counter '%s'", name);
        }
        if (!want_ok(want, got)) {
            fail(w, "%s is %" PRIu64, name, got);
        }
    }
}

typedef enum FieldType { STATE, REASON, U32, U64, SEQ, TIME, NAME } FieldType;

static const struct {
    const char *name;
    size_t off;
    FieldType type;
} half_fields[] = {
#define F(name, member, type) { name, G_STRUCT_OFFSET(VnxVtcpHalfInfo, member), type }
    F("state", state, STATE),
    F("reason", reason, REASON),
    F("bytes", bytes, U64),
    F("early-acked-bytes", early_acked_bytes, U64),
    F("acks-consumed", acks_consumed, U64),
    F("retransmits", retransmits, U64),
    F("rto-retransmits", rto_retransmits, U64),
    F("fast-retransmits", fast_retransmits, U64),
    F("dupacks", dupacks, U64),
    F("out-of-order", out_of_order, U64),
    F("duplicate-bytes", duplicate_bytes, U64),
    F("undelivered", undelivered, U32),
    F("out-of-order-queued", out_of_order_queued, U32),
    F("buffer-used", buffer_used, U32),
    F("una", una, SEQ),
    F("nxt", nxt, SEQ),
    F("early", early, SEQ),
    F("advertised-window", advertised_window, U32),
    F("receiver-window", receiver_window, U32),
    F("cwnd", cwnd, U32),
    F("ssthresh", ssthresh, U32),
    F("mss", mss, U32),
    F("srtt", srtt_ns, TIME),
    F("rttvar", rttvar_ns, TIME),
    F("rto", rto_ns, TIME),
    F("min-rtt", min_rtt_ns, TIME),
    F("congestion-control", congestion_control, NAME),
#undef F
};

static bool name_is(Want want, const char *got, const char *name)
{
    return !strcmp(got, name) == (want.op == '=');
}

static void half_field(World *w, Words *ws, const VnxVtcpHalfInfo *half, uint32_t isn,
                       unsigned f)
{
    const char *name = half_fields[f].name, *got = NULL, *value;
    const char *at = (const char *)half + half_fields[f].off;
    Want want = parse_op(w, ws);
    int64_t number = 0;

    value = need_word(w, ws, "a value");
    switch (half_fields[f].type) {
    case STATE:
        got = vnx_half_state_name(*(const VnxHalfState *)at);
        break;
    case REASON:
        got = vnx_reason_name(*(const VnxReason *)at);
        break;
    case NAME:
        got = at;
        break;
    case U32:
        number = *(const uint32_t *)at;
        break;
    case U64:
        number = *(const uint64_t *)at;
        break;
    case SEQ:
        number = (uint32_t)(*(const uint32_t *)at - isn);
        break;
    case TIME:
        number = *(const int64_t *)at;
        want.v = parse_time(w, value);
        break;
    }
    if (got) {
        if (!name_is(want, got, value)) {
            fail(w, "%s is %s", name, got);
        }
        return;
    }
    if (half_fields[f].type != TIME) {
        want.v = !strcmp(value, "unlimited") ? UINT32_MAX : parse_number(w, value);
    }
    if (!want_ok(want, number)) {
        fail(w, half_fields[f].type == TIME ? "%s is %" PRId64 "ns" : "%s is %" PRId64,
             name, number);
    }
}

static void half_step(World *w, Words *ws)
{
    VnxDir dir = parse_dir(w, need_word(w, ws, "to-guest or to-net"));
    VnxVtcpFlowInfo info;
    const char *name;

    if (!flow_info(w, &info)) {
        fail(w, "there is no such flow");
    }
    while ((name = word(ws))) {
        unsigned f;

        for (f = 0; f < G_N_ELEMENTS(half_fields) && strcmp(half_fields[f].name, name);
             f++) {
        }
        if (f == G_N_ELEMENTS(half_fields)) {
            fail(w, "script: a half has no '%s'", name);
        }
        half_field(w, ws, &info.half[dir], w->conn->host[!dir].isn, f);
    }
}

static void flow_state_step(World *w, Words *ws)
{
    const char *want = need_word(w, ws, "a flow state");
    VnxVtcpFlowInfo info;
    bool found = flow_info(w, &info);
    const char *got = found ? vnx_flow_state_name(info.state) : "gone";

    if (strcmp(want, got)) {
        fail(w, "the flow is %s", got);
    }
}

/* "flow NAME == V...": id, age, idle. */
static void flow_step(World *w, Words *ws)
{
    VnxVtcpFlowInfo info;
    const char *name;

    if (!flow_info(w, &info)) {
        fail(w, "there is no such flow");
    }
    while ((name = word(ws))) {
        Want want = parse_op(w, ws);
        const char *value = need_word(w, ws, "a value");
        int64_t got;

        if (!strcmp(name, "id")) {
            got = info.id;
            want.v = parse_number(w, value);
        } else if (!strcmp(name, "age") || !strcmp(name, "idle")) {
            got = !strcmp(name, "age") ? info.age_ns : info.idle_ns;
            want.v = parse_time(w, value);
        } else {
            fail(w, "script: a flow has no '%s'", name);
        }
        if (!want_ok(want, got)) {
            fail(w, "%s is %" PRId64, name, got);
        }
    }
}

static void events_step(World *w, Words *ws)
{
    static const char *const types[] = { "flow-state", "half-state", "retransmit",
                                         "reset" };
    const char *type = need_word(w, ws, "an event type");
    Want want = parse_op(w, ws);
    unsigned i;

    want.v = parse_number(w, need_word(w, ws, "a value"));
    for (i = 0; i < G_N_ELEMENTS(types) && strcmp(types[i], type); i++) {
    }
    if (i == G_N_ELEMENTS(types)) {
        fail(w, "script: no event '%s'", type);
    }
    if (!want_ok(want, w->events[i])) {
        fail(w, "%u %s events", w->events[i], type);
    }
}

bool step_state(World *w, const char *verb, Words *ws)
{
    static const struct {
        const char *verb;
        void (*fn)(World *w, Words *ws);
    } steps[] = {
        { "stat", stat_step },
        { "half", half_step },
        { "flow", flow_step },
        { "flow-state", flow_state_step },
        { "events", events_step },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        if (!strcmp(verb, steps[i].verb)) {
            world_start(w);
            steps[i].fn(w, ws);
            return true;
        }
    }
    if (!strcmp(verb, "has-work") || !strcmp(verb, "no-work")) {
        world_start(w);
        if (vnx_vtcp_has_work(w->vtcp) != !strcmp(verb, "has-work")) {
            fail(w, "vTCP has %s to do now", strcmp(verb, "no-work") ? "nothing" : "work");
        }
        return true;
    }
    if (!strcmp(verb, "drained") || !strcmp(verb, "undrained")) {
        world_start(w);
        if (vnx_vtcp_drained(w->vtcp) != !strcmp(verb, "drained")) {
            fail(w, "the filter is not %s", verb);
        }
        return true;
    }
    return false;
}

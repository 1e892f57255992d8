/*
 * vnx script runner: the words of a line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>

#include "script.h"

const char *word(Words *ws)
{
    return ws->i < ws->n ? ws->v[ws->i++] : NULL;
}

const char *need_word(World *w, Words *ws, const char *what)
{
    const char *s = word(ws);

    if (!s) {
        fail(w, "script: %s is missing", what);
    }
    return s;
}

int64_t parse_number(World *w, const char *s)
{
    char *end;
    int64_t v = strtoll(s, &end, 0);

    if (end == s || *end) {
        fail(w, "script: '%s' is not a number", s);
    }
    return v;
}

int64_t parse_time(World *w, const char *s)
{
    static const struct { const char *unit; double ns; } units[] = {
        { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 },
    };
    char *end;
    double v = strtod(s, &end);

    for (unsigned i = 0; end != s && i < G_N_ELEMENTS(units); i++) {
        if (!strcmp(end, units[i].unit)) {
            return v * units[i].ns + 0.5;
        }
    }
    fail(w, "script: '%s' is not a time (ns, us, ms, s)", s);
}

bool parse_on_off(World *w, const char *s)
{
    if (strcmp(s, "on") && strcmp(s, "off")) {
        fail(w, "script: '%s' is neither on nor off", s);
    }
    return !strcmp(s, "on");
}

Side parse_side(World *w, const char *s)
{
    if (!strcmp(s, "guest")) {
        return w->mirrored ? NET : GUEST;
    }
    if (!strcmp(s, "net")) {
        return w->mirrored ? GUEST : NET;
    }
    fail(w, "script: '%s' is neither guest nor net", s);
}

VnxDir parse_dir(World *w, const char *s)
{
    if (!g_str_has_prefix(s, "to-")) {
        fail(w, "script: '%s' is neither to-guest nor to-net", s);
    }
    return (VnxDir)parse_side(w, s + 3);
}

Want parse_op(World *w, Words *ws)
{
    const char *op = need_word(w, ws, "an operator");
    Want want = { 0 };

    if (!strcmp(op, "==")) {
        want.op = '=';
    } else if (!strcmp(op, "<=")) {
        want.op = '<';
    } else if (!strcmp(op, ">=")) {
        want.op = '>';
    } else if (!strcmp(op, "!=")) {
        want.op = '!';
    } else {
        fail(w, "script: '%s' is not one of == <= >= !=", op);
    }
    return want;
}

bool want_ok(Want want, int64_t got)
{
    switch (want.op) {
    case '=':
        return got == want.v;
    case '<':
        return got <= want.v;
    case '>':
        return got >= want.v;
    case '!':
        return got != want.v;
    default:
        return true;
    }
}

void parse_offload(World *w, const char *s, VnxOffload *o)
{
    char **v = g_strsplit(s, ",", -1);

    o->csum = o->tso4 = o->tso6 = o->ecn = false;
    for (unsigned i = 0; v[i]; i++) {
        if (!strcmp(v[i], "csum")) {
            o->csum = true;
        } else if (!strcmp(v[i], "tso")) {
            o->tso4 = o->tso6 = true;
        } else if (!strcmp(v[i], "ecn")) {
            o->ecn = true;
        } else if (strcmp(v[i], "none")) {
            g_strfreev(v);
            fail(w, "script: '%s': offloads are csum, tso, ecn, none", s);
        }
    }
    g_strfreev(v);
}

void seg_init(Seg *s)
{
    memset(s, 0, sizeof(*s));
    s->vlan[0] = s->vlan[1] = VNX_VLAN_NONE;
    s->ttl = 64;
}

static bool parse_flags(const char *s, uint16_t *flags)
{
    static const char letters[] = "FSRP.UEWN";
    uint16_t bits = 0;

    for (; *s; s++) {
        const char *p = strchr(letters, *s);

        if (!p) {
            return false;
        }
        bits |= 1 << (p - letters);
    }
    *flags = bits;
    return true;
}

/* "name VALUE", "name==VALUE", "name>=VALUE", "name<=VALUE". */
static bool parse_want(World *w, Words *ws, const char *s, const char *name, Want *want)
{
    size_t n = strlen(name);

    if (strncmp(s, name, n)) {
        return false;
    }
    if (!s[n]) {
        want->op = '=';
        want->v = parse_number(w, need_word(w, ws, name));
        return true;
    }
    if (strchr("=<>", s[n]) && s[n + 1] == '=') {
        want->op = s[n];
        want->v = parse_number(w, s + n + 2);
        return true;
    }
    return false;
}

static Want parse_ts_part(World *w, const char *s)
{
    Want want = { 0 };

    if (strcmp(s, "*")) {
        want.op = '=';
        want.v = parse_number(w, s);
    }
    return want;
}

/* "ts" alone, or "ts VAL/ECR", each a number or "*". */
static void parse_ts(World *w, Words *ws, Seg *s)
{
    s->ts = true;
    if (ws->i < ws->n && strchr(ws->v[ws->i], '/')) {
        char **v = g_strsplit(word(ws), "/", 2);

        s->tsval = parse_ts_part(w, v[0]);
        s->tsecr = parse_ts_part(w, v[1]);
        g_strfreev(v);
    }
}

/* "START:END,START:END..." */
static void parse_sack(World *w, const char *spec, Seg *s)
{
    char **v = g_strsplit(spec, ",", -1);

    for (s->n_sack = 0; v[s->n_sack]; s->n_sack++) {
        char *colon = strchr(v[s->n_sack], ':');

        if (s->n_sack == VNX_SACK_MAX || !colon) {
            g_strfreev(v);
            fail(w, "script: bad SACK blocks '%s'", spec);
        }
        *colon = 0;
        s->sack[s->n_sack].start = parse_number(w, v[s->n_sack]);
        s->sack[s->n_sack].end = parse_number(w, colon + 1);
    }
    g_strfreev(v);
}

static void add_option(World *w, Seg *s, uint8_t kind, unsigned len)
{
    if (s->raw_opt_len + MAX(len, 1) > sizeof(s->raw_opt)) {
        fail(w, "script: too many options");
    }
    memset(s->raw_opt + s->raw_opt_len, 0x11, len);
    s->raw_opt[s->raw_opt_len] = kind;
    s->raw_opt[s->raw_opt_len + 1] = len;
    s->raw_opt_len += len;
}

static bool parse_option(World *w, const char *t, Seg *s)
{
    static const struct { const char *name; uint8_t kind, len; } options[] = {
        { "md5", 19, 18 }, { "ao", 29, 16 }, { "mptcp", 30, 12 }, { "fastopen", 34, 10 },
        { "accecn", 172, 5 }, { "unknown", 200, 4 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        if (!strcmp(t, options[i].name)) {
            add_option(w, s, options[i].kind, options[i].len);
            return true;
        }
    }
    if (!strcmp(t, "badopt")) {         /* longer than the header */
        add_option(w, s, 201, 2);
        s->raw_opt[s->raw_opt_len - 1] = 39;
        return true;
    }
    return false;
}

static bool parse_wire_word(World *w, Words *ws, const char *t, Seg *s)
{
    static const struct { const char *name; size_t off; } bools[] = {
        { "badcsum", G_STRUCT_OFFSET(Seg, bad_csum) },
        { "badipcsum", G_STRUCT_OFFSET(Seg, bad_ip_csum) },
        { "data-valid", G_STRUCT_OFFSET(Seg, data_valid) },
        { "partial", G_STRUCT_OFFSET(Seg, partial) },
        { "full", G_STRUCT_OFFSET(Seg, full) },
        { "corrupt", G_STRUCT_OFFSET(Seg, corrupt) },
        { "stray", G_STRUCT_OFFSET(Seg, stray) },
        { "ipopt", G_STRUCT_OFFSET(Seg, ip_opt) },
        { "udp", G_STRUCT_OFFSET(Seg, udp) },
        { "hops", G_STRUCT_OFFSET(Seg, hops) },
        { "fragment", G_STRUCT_OFFSET(Seg, frag) },
    };
    static const char *const ecn[] = { "not-ect", "ect1", "ect", "ce" };
    static const struct { const char *name; uint8_t bit; } exts[] = {
        { "jumbo", EXT_JUMBO }, { "hbh", EXT_HBH }, { "dstopt", EXT_DSTOPT }, { "routing", EXT_ROUTING },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bools); i++) {
        if (!strcmp(t, bools[i].name)) {
            *(bool *)((char *)s + bools[i].off) = true;
            return true;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(ecn); i++) {
        if (!strcmp(t, ecn[i])) {
            s->ecn = i;
            return true;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(exts); i++) {
        if (!strcmp(t, exts[i].name)) {
            s->ext |= exts[i].bit;
            return true;
        }
    }
    if (!strcmp(t, "vlan")) {           /* OUTER or OUTER/INNER or none */
        const char *v = need_word(w, ws, "a VLAN id");
        char **id = g_strsplit(v, "/", 2);
        bool none = !strcmp(v, "none");

        s->vlan[0] = none ? VNX_VLAN_NONE : parse_number(w, id[0]);
        s->vlan[1] = id[1] ? parse_number(w, id[1]) : VNX_VLAN_NONE;
        g_strfreev(id);
    } else if (!strcmp(t, "ttl")) {
        s->ttl = parse_number(w, need_word(w, ws, "a TTL"));
    } else if (!strcmp(t, "mac")) {
        s->mac = parse_number(w, need_word(w, ws, "a MAC byte"));
    } else if (!strcmp(t, "queue")) {
        s->queue = parse_number(w, need_word(w, ws, "a queue"));
    } else if (!strcmp(t, "dscp")) {
        s->dscp = parse_number(w, need_word(w, ws, "a DSCP"));
    } else if (!strcmp(t, "cut")) {
        s->cut = parse_number(w, need_word(w, ws, "a number of bytes"));
    } else if (!strcmp(t, "pad")) {
        s->pad = parse_number(w, need_word(w, ws, "a number of bytes"));
    } else {
        return false;
    }
    return true;
}

/* "SEQ", "SEQ:END", "SEQ:edge", "edge+LEN" */
static bool parse_seq(World *w, const char *t, Seg *s)
{
    char *end;

    if (g_str_has_prefix(t, "edge+")) {
        s->seq_at_edge = true;
        s->end = s->seq + parse_number(w, t + 5);
        return true;
    }
    if (!g_ascii_isdigit(*t)) {
        return false;
    }
    s->seq = s->end = strtoul(t, &end, 0);
    if (!strcmp(end, ":edge")) {
        s->end_at_edge = true;
        return true;
    }
    if (*end == ':') {
        s->end = strtoul(end + 1, &end, 0);
    }
    if (*end || s->end < s->seq) {
        fail(w, "script: bad sequence '%s'", t);
    }
    return true;
}

/* "KIND" or "KIND/MTU" */
static void parse_icmp(World *w, const char *t, Seg *s)
{
    static const char *const kinds[] = { "too-big", "unreachable", "time-exceeded", "quench" };
    char **v = g_strsplit(t, "/", 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(v[0], kinds[i])) {
            s->icmp = i + 1;
        }
    }
    s->mtu = v[1] ? parse_number(w, v[1]) : 0;
    g_strfreev(v);
    if (!s->icmp) {
        fail(w, "script: no ICMP message '%s'", t);
    }
}

void parse_seg(World *w, Words *ws, Seg *s, bool expect)
{
    const char *t = word(ws);
    bool seq_known = false;

    *s = w->base;
    s->flags = VNX_TCP_ACK;
    if (t && !expect && !strcmp(t, "icmp")) {
        parse_icmp(w, need_word(w, ws, "a kind of ICMP message"), s);
        t = word(ws);
    }
    if (t && parse_flags(t, &s->flags)) {
        t = word(ws);
    }
    for (; t; t = word(ws)) {
        if (!seq_known && parse_seq(w, t, s)) {
            seq_known = true;
        } else if (parse_want(w, ws, t, "ack", &s->ack) ||
                   parse_want(w, ws, t, "win", &s->win) ||
                   parse_want(w, ws, t, "edge", &s->edge) ||
                   parse_want(w, ws, t, "mss", &s->mss) ||
                   parse_want(w, ws, t, "wscale", &s->wscale)) {
            continue;
        } else if (!strcmp(t, "ts")) {
            parse_ts(w, ws, s);
        } else if (!strcmp(t, "nots")) {
            s->no_ts = true;
        } else if (!strcmp(t, "sack")) {
            parse_sack(w, need_word(w, ws, "SACK blocks"), s);
        } else if (!strcmp(t, "sackok")) {
            s->sack_ok = true;
        } else if (!strcmp(t, "urg")) {
            s->urgent = parse_number(w, need_word(w, ws, "an urgent pointer"));
        } else if (!strcmp(t, "gso")) {
            s->gso = parse_number(w, need_word(w, ws, "a GSO size"));
        } else if (!strcmp(t, "by")) {
            s->by = parse_number(w, need_word(w, ws, "a segment size"));
        } else if (!parse_option(w, t, s) && !parse_wire_word(w, ws, t, s)) {
            fail(w, "script: '%s' means nothing in a segment", t);
        }
    }
    if (!seq_known) {
        fail(w, "script: a segment needs its sequence number");
    }
    if (!expect && ((s->ack.op && s->ack.op != '=') || (s->win.op && s->win.op != '='))) {
        fail(w, "script: >= and <= are for expectations");
    }
    if (expect ? s->seq_at_edge || s->end_at_edge : s->edge.op != 0) {
        fail(w, "script: \"edge N\" is for expectations, \"edge+N\" for what is sent");
    }
}

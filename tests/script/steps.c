/*
 * vnx script runner: what each line does
 *
 * Before anything is sent, and before time goes on, all that came out must have been
 * claimed by a "gets" or "passes": an output that no line asks for fails the script.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdio.h>
#include <string.h>

#include "script.h"

void nothing_unclaimed(World *w)
{
    if (!w->in_batch) {
        no_output(w, GUEST);
        no_output(w, NET);
    }
}

/* What a line leaves out: the newest ACK, window and timestamps of that host. */
static void complete_seg(World *w, Side from, Seg *s)
{
    const Host *me = &w->conn->host[from];
    bool syn = s->flags & VNX_TCP_SYN;

    if (!s->ack.op) {
        s->ack = (Want) { '=', me->last_ack };
    }
    if (!s->win.op) {
        s->win = (Want) { '=', syn && !me->last_win ? 65535 : me->last_win };
    }
    if (!syn && (s->win.v & ((1u << me->shift) - 1) || s->win.v >> me->shift > 0xffff)) {
        fail(w, "script: window %" PRId64 " cannot be told with shift %u", s->win.v,
             me->shift);
    }
    if (!syn && me->ts_on && !s->no_ts && !(s->flags & VNX_TCP_RST)) {
        s->ts = true;
    }
    if (s->ts) {
        if (!s->tsval.op) {
            int second = (from == NET) != w->mirrored;      /* the script's net */

            s->tsval = (Want) {
                '=', 1000 * (second + 1) + (w->now_ns - START_NS) / 1000000
            };
        }
        if (!s->tsecr.op) {
            s->tsecr = (Want) { '=', me->got_ts ? me->got_tsval : 0 };
        }
    }
}

/* Inject; with @must_pass, the very frame must come out on the other side. */
static void send_one(World *w, Side from, const Seg *s, bool must_pass)
{
    bool passed = inject(w, from, s);
    Out *o;
    How how;

    if (!must_pass) {
        return;
    }
    if (!passed) {
        fail(w, "the frame was consumed, PASS was wanted");
    }
    o = take_out(w, !from);
    how = o->how;
    out_free(o);
    if (how != PASSED) {
        fail(w, "another frame went out before the one that passed");
    }
}

static void send_step(World *w, Side from, Words *ws, bool must_pass)
{
    Seg s, piece;
    uint32_t step;

    parse_seg(w, ws, &s, false);
    nothing_unclaimed(w);
    if (s.seq_at_edge) {
        s.end += w->conn->host[from].got_edge;
        s.seq = w->conn->host[from].got_edge;
    } else if (s.end_at_edge) {
        s.end = w->conn->host[from].got_edge;
    }
    if (w->migrating && !w->in_batch) {
        migrate(w);
        nothing_unclaimed(w);
    }
    complete_seg(w, from, &s);
    step = s.by ? s.by : MAX(s.end - s.seq, 1);
    piece = s;
    do {
        piece.end = MIN(piece.seq + step, s.end);
        piece.flags = s.flags;
        piece.gso = s.gso;
        if (piece.end < s.end) {
            piece.flags &= ~(VNX_TCP_FIN | VNX_TCP_PSH);
        }
        if (s.gso && piece.end - piece.seq <= s.gso) {
            piece.gso = 0;              /* the tail of a stream */
            piece.partial = true;
        }
        send_one(w, from, &piece, must_pass);
        piece.seq = piece.end;
    } while (piece.seq < s.end);
}

static Out *need_out(World *w, Side to, const char *what)
{
    Out *o = take_out(w, to);

    if (!o) {
        fail(w, "wanted: %s\n  got:    nothing", what);
    }
    return o;
}

/* "gets stream A:B": data in order without a gap, cut anyhow. */
static void gets_stream(World *w, Side to, Words *ws)
{
    Seg want, piece;

    parse_seg(w, ws, &want, true);
    for (piece = want; piece.seq < want.end;) {
        Out *o = need_out(w, to, "more of the stream");
        VnxPacket *p = g_new0(VnxPacket, 1);
        struct iovec iov = { o->frame, o->size };

        if (vnx_packet_parse(p, &iov, 1, o->vnet_len, (VnxDir)to) == VNX_PARSE_TCP) {
            piece.end = piece.seq + p->payload_len;
        }
        g_free(p);
        if (piece.end == piece.seq || piece.end > want.end) {
            piece.end = want.end;       /* and so does not match */
        }
        g_queue_push_head(&w->out[to], o);
        check_out(w, to, o, &piece);
        out_free(take_out(w, to));
        piece.seq = piece.end;
    }
}

/* "gets acks N": all that is there are empty ACKs, the last one of N.  "any": if any. */
static void gets_acks(World *w, Side to, Words *ws)
{
    const char *number = need_word(w, ws, "an ACK number");
    bool any = !strcmp(number, "any");
    uint32_t last = any ? w->conn->host[to].sent_end : parse_number(w, number);
    Seg want = w->base;
    Out *o;

    if (any && !w->out[to].length) {
        return;
    }
    do {
        VnxPacket *p;
        struct iovec iov;

        o = need_out(w, to, "an ACK");
        p = g_new0(VnxPacket, 1);
        iov = (struct iovec) { o->frame, o->size };
        vnx_packet_parse(p, &iov, 1, o->vnet_len, (VnxDir)to);
        want.flags = VNX_TCP_ACK;
        want.any_sack = true;
        want.seq = want.end = p->seq - w->conn->host[!to].isn;
        want.ack = (Want) { any || w->out[to].length ? '<' : '=', last };
        g_free(p);
        g_queue_push_head(&w->out[to], o);
        check_out(w, to, o, &want);
        out_free(take_out(w, to));
    } while (w->out[to].length);
}

static void gets_step(World *w, Side to, Words *ws)
{
    Seg want;

    if (ws->i < ws->n && !strcmp(ws->v[ws->i], "nothing")) {
        no_output(w, to);
        word(ws);
    } else if (ws->i < ws->n && !strcmp(ws->v[ws->i], "stream")) {
        word(ws);
        gets_stream(w, to, ws);
    } else if (ws->i < ws->n && !strcmp(ws->v[ws->i], "acks")) {
        word(ws);
        gets_acks(w, to, ws);
    } else {
        char *text;

        parse_seg(w, ws, &want, true);
        if (!w->out[to].length) {
            text = describe_seg(&want);
            w->failure = g_strdup_printf("wanted: %s\n  got:    nothing", text);
            g_free(text);
            fail(w, NULL);
        }
        check_out(w, to, g_queue_peek_head(&w->out[to]), &want);
        out_free(take_out(w, to));
    }
}

static void side_step(World *w, Side side, Words *ws)
{
    const char *verb = need_word(w, ws, "sends, passes or gets");

    if (!strcmp(verb, "sends")) {
        send_step(w, side, ws, false);
    } else if (!strcmp(verb, "passes")) {
        send_step(w, side, ws, true);
    } else if (!strcmp(verb, "gets")) {
        gets_step(w, side, ws);
    } else {
        fail(w, "script: a side sends, passes or gets, it does not '%s'", verb);
    }
}

/* "A" for both sides, or "GUEST/NET". */
static void pair(World *w, const char *s, int64_t v[2])
{
    const char *slash = strchr(s, '/');
    char *first = slash ? g_strndup(s, slash - s) : g_strdup(s);

    v[w->mirrored ? NET : GUEST] = parse_number(w, first);
    v[w->mirrored ? GUEST : NET] = parse_number(w, slash ? slash + 1 : first);
    g_free(first);
}

/*
 * The third ACK.  It passes unchanged too, unless its window, the first that is
 * scaled, is larger than what vTCP's buffer can take: S must not get to know that.
 */
static void open_ack(World *w, Side a, const Seg *ack)
{
    Seg want = *ack;

    if (inject(w, a, ack)) {
        out_free(take_out(w, !a));
    } else {
        want.win.op = '<';
        if (!w->out[!a].length) {
            fail(w, "the third ACK of the handshake did not go on");
        }
        check_out(w, !a, g_queue_peek_head(&w->out[!a]), &want);
        out_free(take_out(w, !a));
    }
}

/* A whole handshake. */
static void open_step(World *w, Words *ws)
{
    Side a = parse_side(w, need_word(w, ws, "the side that opens"));
    int64_t mss[2] = { 1460, 1460 }, ws_v[2] = { -1, -1 }, win[2] = { -1, -1 };
    int64_t isn[2] = { -1, -1 }, gap = 10000000;
    bool sack = false, ts = false, ecn = false;
    const char *t;
    Seg syn = w->base, syn_ack, ack;

    while ((t = word(ws))) {
        if (g_str_has_prefix(t, "mss=")) {
            pair(w, t + 4, mss);
        } else if (g_str_has_prefix(t, "wscale=")) {
            pair(w, t + 7, ws_v);
        } else if (g_str_has_prefix(t, "win=")) {
            pair(w, t + 4, win);
        } else if (g_str_has_prefix(t, "isn=")) {
            pair(w, t + 4, isn);
        } else if (g_str_has_prefix(t, "gap=")) {
            gap = parse_time(w, t + 4);
        } else if (!strcmp(t, "sack")) {
            sack = true;
        } else if (!strcmp(t, "ts")) {
            ts = true;
        } else if (!strcmp(t, "ecn")) {
            ecn = true;
        } else {
            fail(w, "script: open knows mss= wscale= win= isn= gap= sack ts ecn, not '%s'",
                 t);
        }
    }
    nothing_unclaimed(w);
    for (int i = GUEST; i <= NET; i++) {
        Host *h = &w->conn->host[i];
        uint32_t old = h->isn;

        memset(h, 0, sizeof(*h));
        h->isn = isn[i] < 0 ? old : isn[i];
        win[i] = win[i] >= 0 ? win[i] : ws_v[i] > 0 ? 65536 : 65535;
    }
    syn.sack_ok = sack;
    syn.ts = ts;
    syn_ack = ack = syn;
    syn.flags = VNX_TCP_SYN | (ecn ? VNX_TCP_ECE | VNX_TCP_CWR : 0);
    syn.win = (Want) { '=', MIN(win[a], 65535) };
    syn.mss = (Want) { '=', mss[a] };
    syn.wscale = (Want) { ws_v[a] >= 0 ? '=' : 0, ws_v[a] };
    complete_seg(w, a, &syn);
    send_one(w, a, &syn, true);
    advance(w, w->now_ns + gap);

    syn_ack.flags = VNX_TCP_SYN | VNX_TCP_ACK | (ecn ? VNX_TCP_ECE : 0);
    syn_ack.ack = (Want) { '=', 1 };
    syn_ack.win = (Want) { '=', MIN(win[!a], 65535) };
    syn_ack.mss = (Want) { '=', mss[!a] };
    syn_ack.wscale = (Want) { ws_v[!a] >= 0 ? '=' : 0, ws_v[!a] };
    complete_seg(w, !a, &syn_ack);
    send_one(w, !a, &syn_ack, true);
    advance(w, w->now_ns + gap);

    ack.sack_ok = false;
    ack.flags = VNX_TCP_ACK;
    ack.seq = ack.end = 1;
    ack.ack = (Want) { '=', 1 };
    ack.win = (Want) { '=', win[a] };
    complete_seg(w, a, &ack);
    open_ack(w, a, &ack);
    w->conn->host[!a].last_win = win[!a];
    nothing_unclaimed(w);
}

/* "after T" or "after T1..T2" */
static void after_step(World *w, Words *ws)
{
    const char *t = need_word(w, ws, "a time");
    const char *dots = strstr(t, "..");
    char *first = dots ? g_strndup(t, dots - t) : g_strdup(t);
    int64_t min = parse_time(w, first);
    int64_t max = dots ? parse_time(w, dots + 2) : min;

    g_free(first);
    nothing_unclaimed(w);
    advance_until_output(w, min, max);
}

static void one_step(World *w, Words *ws)
{
    const char *verb = word(ws);

    if (!strcmp(verb, "guest") || !strcmp(verb, "net")) {
        side_step(w, parse_side(w, verb), ws);
    } else if (!strcmp(verb, "nothing")) {
        no_output(w, GUEST);
        no_output(w, NET);
    } else if (*verb == '+') {
        int64_t ns = parse_time(w, verb + 1);

        nothing_unclaimed(w);
        advance(w, w->now_ns + ns);
        if (ws->i < ws->n) {
            one_step(w, ws);
        }
    } else if (!strcmp(verb, "after")) {
        after_step(w, ws);
        if (ws->i < ws->n) {
            one_step(w, ws);
        }
    } else if (!strcmp(verb, "open")) {
        open_step(w, ws);
    } else if (!strcmp(verb, "connection")) {
        w->conn = conn_get(w, parse_number(w, need_word(w, ws, "a number")));
    } else if (!step_state(w, verb, ws) && !step_policy(w, verb, ws) &&
               !step_setup(w, verb, ws)) {
        fail(w, "script: no such step '%s'", verb);
    }
    if (ws->i < ws->n) {
        fail(w, "script: '%s' is too much", ws->v[ws->i]);
    }
}

/* "{A+B*i}" in a repeat: i counts from 0. */
static char *substitute(World *w, const char *line)
{
    GString *g = g_string_new(NULL);

    while (*line) {
        long long a, b;
        int n = 0;

        if (sscanf(line, "{%lld+%lld*i}%n", &a, &b, &n) == 2 && n) {
            g_string_append_printf(g, "%lld", a + b * (long long)w->loop_i);
            line += n;
        } else {
            g_string_append_c(g, *line++);
        }
    }
    return g_string_free(g, FALSE);
}

/* The line's words; free with g_strfreev(words->v). */
static void split_line(World *w, const char *line, Words *ws)
{
    char *text = substitute(w, line), **all;

    text[strcspn(text, "#")] = 0;
    all = g_strsplit_set(text, " \t\r", -1);
    g_free(text);
    *ws = (Words) { g_new0(char *, g_strv_length(all) + 1), 0, 0 };
    for (unsigned i = 0; all[i]; i++) {
        if (*all[i]) {
            ws->v[ws->n++] = all[i];
        } else {
            g_free(all[i]);
        }
    }
    g_free(all);
}

/* The line of the "end" that belongs to the block opened at @line. */
static int block_end(World *w, int line, int to)
{
    int depth = 1;

    for (int i = line + 1; i < to; i++) {
        char *text = g_strstrip(g_strdup(w->lines[i]));

        if (g_str_has_prefix(text, "batch") || g_str_has_prefix(text, "repeat ")) {
            depth++;
        } else if (g_str_has_prefix(text, "end")) {
            depth--;
        }
        g_free(text);
        if (!depth) {
            return i;
        }
    }
    fail(w, "script: a block without end");
}

void run_lines(World *w, int from, int to)
{
    for (int i = from; i < to; i++) {
        Words *ws = &w->words;

        w->line = i + 1;
        g_strfreev(ws->v);
        split_line(w, w->lines[i], ws);
        if (!ws->n || g_str_has_suffix(ws->v[0], ":")) {        /* a header line */
            continue;
        }
        if (!strcmp(ws->v[0], "repeat")) {
            int end = block_end(w, i, to);
            int64_t n = parse_number(w, ws->n > 1 ? ws->v[1] : "");

            for (int64_t k = 0; k < n; k++) {
                w->loop_i = k;
                run_lines(w, i + 1, end);
            }
            i = end;
        } else if (!strcmp(ws->v[0], "batch")) {
            int end = block_end(w, i, to);

            nothing_unclaimed(w);
            world_start(w);
            w->in_batch = true;
            run_lines(w, i + 1, end);
            w->in_batch = false;
            after_push(w);
            i = end;
        } else {
            one_step(w, ws);
        }
    }
}

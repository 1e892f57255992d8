/*
 * vnx simulation: lwIP behind SimStackOps.
 *
 * Compiled once per copy, with SIM_STACK naming the exported symbol; see stack.h.
 * The network interface is bare: whole IP packets in, whole IP packets out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/ip6.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"

#include "stack.h"
#include "hooks.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)

static struct {
    SimStackHost host;
    SimStackConf conf;
    struct netif netif;
    struct tcp_pcb *listeners[64];
    unsigned n_listeners;
    uint32_t now_ms;
    uint32_t rand_state;
    bool stopping;
} st;

/* ---- what lwIP asks of its port ---- */

u32_t sys_now(void)
{
    return st.now_ms;
}

unsigned int sim_lwip_rand(void)
{
    st.rand_state = st.rand_state * 1664525u + 1013904223u;
    return st.rand_state ^ (st.rand_state >> 16);
}

void sim_lwip_assert(const char *message, const char *file, int line)
{
    fprintf(stderr, "%s: lwIP's assertion failed at %s:%d: %s\n", STRING(SIM_STACK), file,
            line, message);
    abort();
}

u32_t sim_lwip_isn(u16_t local_port, u16_t remote_port)
{
    return st.conf.isn + (u32_t)local_port * 7919u + (u32_t)remote_port * 104729u +
           st.now_ms * 250u;
}

static err_t output_packet(struct pbuf *p)
{
    uint8_t *packet = malloc(p->tot_len);

    pbuf_copy_partial(p, packet, p->tot_len, 0);
    st.host.output(st.host.opaque, packet, p->tot_len);
    free(packet);
    return ERR_OK;
}

static err_t output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
    return output_packet(p);
}

static err_t output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *to)
{
    return output_packet(p);
}

static void address6(ip6_addr_t *a, uint8_t id)
{
    IP6_ADDR(a, PP_HTONL(0xfd000000), 0, 0, PP_HTONL(id));
}

static err_t netif_setup(struct netif *netif)
{
    netif->name[0] = 's';
    netif->name[1] = 'm';
    netif->mtu = st.conf.mtu;
#if LWIP_ND6_ALLOW_RA_UPDATES
    netif->mtu6 = st.conf.mtu;
#endif
    netif->output = output4;
    netif->output_ip6 = output6;
    netif->flags = NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

/* ---- callbacks of a connection ---- */

static err_t on_recv(void *user, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    if (!p) {
        st.host.eof(user);
        return ERR_OK;
    }
    for (struct pbuf *q = p; q; q = q->next) {
        st.host.received(user, q->payload, q->len);
    }
    pbuf_free(p);
    return ERR_OK;
}

static err_t on_sent(void *user, struct tcp_pcb *pcb, u16_t len)
{
    st.host.sent(user);
    return ERR_OK;
}

static void on_err(void *user, err_t err)
{
    if (user && !st.stopping) {
        st.host.gone(user, err == ERR_CLSD ? SIM_GONE_CLOSED
                           : err == ERR_RST ? SIM_GONE_RESET : SIM_GONE_ABORTED);
    }
}

static void attach(struct tcp_pcb *pcb, void *user)
{
    tcp_arg(pcb, user);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_err);
}

static err_t on_accept(void *user, struct tcp_pcb *pcb, err_t err)
{
    if (err != ERR_OK || !pcb) {
        return ERR_VAL;
    }
    attach(pcb, user);
    st.host.accepted(user, pcb);
    return ERR_OK;
}

static err_t on_connected(void *user, struct tcp_pcb *pcb, err_t err)
{
    st.host.connected(user);
    return ERR_OK;
}

/* ---- operations ---- */

static void stack_init(const SimStackConf *conf, const SimStackHost *host)
{
    ip4_addr_t addr, mask, gw;
    ip6_addr_t addr6;
    s8_t index;

    memset(&st, 0, sizeof(st));
    st.host = *host;
    st.conf = *conf;
    st.now_ms = conf->now_ms;
    st.rand_state = conf->seed;
    lwip_init();
    IP4_ADDR(&addr, 10, 0, 0, conf->host_id);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    ip4_addr_set_zero(&gw);
    netif_add(&st.netif, &addr, &mask, &gw, NULL, netif_setup, ip_input);
    netif_set_default(&st.netif);
    netif_set_up(&st.netif);
    address6(&addr6, conf->host_id);
    netif_add_ip6_address(&st.netif, &addr6, &index);
    netif_ip6_addr_set_state(&st.netif, index, IP6_ADDR_PREFERRED);
}

static void stack_now(uint32_t ms)
{
    st.now_ms = ms;
}

static void stack_input(const uint8_t *packet, size_t len)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, len, PBUF_RAM);

    pbuf_take(p, packet, len);
    if (st.netif.input(p, &st.netif) != ERR_OK) {
        pbuf_free(p);
    }
}

static void stack_poll(void)
{
    sys_check_timeouts();
}

static uint32_t stack_next_ms(void)
{
    return sys_timeouts_sleeptime();
}

static bool stack_listen(uint16_t port, int ip_version, bool nagle, void *user)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(ip_version == 6 ? IPADDR_TYPE_V6
                                                          : IPADDR_TYPE_V4);

    if (!pcb || tcp_bind(pcb, ip_version == 6 ? IP6_ADDR_ANY : IP4_ADDR_ANY, port) !=
        ERR_OK) {
        return false;
    }
    if (!nagle) {
        tcp_nagle_disable(pcb);
    }
    pcb = tcp_listen(pcb);
    tcp_arg(pcb, user);
    tcp_accept(pcb, on_accept);
    st.listeners[st.n_listeners++] = pcb;
    return true;
}

static void *stack_connect(uint16_t sport, uint16_t dport, uint8_t peer_id,
                           int ip_version, bool nagle, void *user)
{
    ip_addr_t peer;
    struct tcp_pcb *pcb = tcp_new_ip_type(ip_version == 6 ? IPADDR_TYPE_V6
                                                          : IPADDR_TYPE_V4);

    if (ip_version == 6) {
        address6(ip_2_ip6(&peer), peer_id);
        ip6_addr_clear_zone(ip_2_ip6(&peer));
        IP_SET_TYPE(&peer, IPADDR_TYPE_V6);
    } else {
        IP_ADDR4(&peer, 10, 0, 0, peer_id);
    }
    if (!nagle) {
        tcp_nagle_disable(pcb);
    }
    attach(pcb, user);
    if (tcp_bind(pcb, ip_version == 6 ? IP6_ADDR_ANY : IP4_ADDR_ANY, sport) != ERR_OK ||
        tcp_connect(pcb, &peer, dport, on_connected) != ERR_OK) {
        tcp_arg(pcb, NULL);
        tcp_abort(pcb);
        return NULL;
    }
    return pcb;
}

static size_t stack_room(void *conn)
{
    return tcp_sndbuf((struct tcp_pcb *)conn);
}

static size_t stack_write(void *conn, const void *data, size_t len)
{
    struct tcp_pcb *pcb = conn;
    size_t done = 0;

    /* lwIP takes less than 64 KiB at a time, and all of it or nothing. */
    while (done < len) {
        size_t n = LWIP_MIN(LWIP_MIN(len - done, tcp_sndbuf(pcb)), 32768);

        if (n == 0 || tcp_write(pcb, (const uint8_t *)data + done, n,
                                TCP_WRITE_FLAG_COPY) != ERR_OK) {
            break;
        }
        done += n;
    }
    return done;
}

static void stack_flush(void *conn)
{
    tcp_output(conn);
}

static void stack_consume(void *conn, size_t len)
{
    while (len) {
        u16_t n = LWIP_MIN(len, 0xffff);

        tcp_recved(conn, n);
        len -= n;
    }
}

/*
 * lwIP (2.2.1 still) leaves the FIN on both parts when its persist timer splits an unsent
 * segment that carries one, and so ends the stream early.  Hence no FIN until the
 * peer's window has room for all that is queued: such a segment is never split.
 */
static bool stack_shutdown(void *conn)
{
    struct tcp_pcb *pcb = conn;

    if (pcb->unsent && pcb->snd_lbb + 1 - pcb->lastack > pcb->snd_wnd) {
        return false;
    }
    return tcp_shutdown(pcb, 0, 1) == ERR_OK;
}

static void stack_adopt(void *conn, void *user)
{
    tcp_arg(conn, user);
}

static void stack_abort(void *conn)
{
    tcp_arg(conn, NULL);
    tcp_abort(conn);
}

static void stack_release(void *conn)
{
    struct tcp_pcb *pcb = conn;

    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    /* After both FINs this only tells lwIP that nobody listens any more. */
    tcp_close(pcb);
}

static void stack_keepalive(void *conn, uint32_t idle_ms)
{
    struct tcp_pcb *pcb = conn;

    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = idle_ms;
    pcb->keep_intvl = idle_ms;
    pcb->keep_cnt = 1000;
}

static unsigned stack_active(void)
{
    unsigned n = 0;

    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        n++;
    }
    return n;
}

static void stack_stop(void)
{
    st.stopping = true;
    while (tcp_active_pcbs) {
        tcp_arg(tcp_active_pcbs, NULL);
        tcp_abandon(tcp_active_pcbs, 0);
    }
    while (tcp_tw_pcbs) {
        tcp_abandon(tcp_tw_pcbs, 0);
    }
    for (unsigned i = 0; i < st.n_listeners; i++) {
        tcp_close(st.listeners[i]);
    }
    netif_remove(&st.netif);
}

__attribute__((visibility("default"))) extern const SimStackOps SIM_STACK;

const SimStackOps SIM_STACK = {
    .name = STRING(SIM_STACK),
    .version = LWIP_VERSION_STRING,
    .timestamps = LWIP_TCP_TIMESTAMPS,
    .init = stack_init,
    .now = stack_now,
    .input = stack_input,
    .poll = stack_poll,
    .next_ms = stack_next_ms,
    .listen = stack_listen,
    .connect = stack_connect,
    .room = stack_room,
    .write = stack_write,
    .flush = stack_flush,
    .consume = stack_consume,
    .shutdown = stack_shutdown,
    .adopt = stack_adopt,
    .abort = stack_abort,
    .release = stack_release,
    .keepalive = stack_keepalive,
    .active = stack_active,
    .stop = stack_stop,
};

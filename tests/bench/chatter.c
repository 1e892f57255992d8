/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chatter: frames at a fixed rate, as other hosts of a network make them, for the benchmark
 *
 *   chatter noise INTERFACE SOURCE TARGET RATE       ARP requests for TARGET (every fourth)
 *                                                    and small UDP datagrams to it
 *   chatter syn INTERFACE SOURCE TARGET PORT MAC RATE COUNT
 *                                                    TCP SYNs to TARGET:PORT at MAC from
 *                                                    COUNT ends, all different, SOURCE and up
 *
 * RATE is frames a second, kept by absolute times: what was late is caught up.  noise ends
 * with standard input, syn after COUNT; a last line says "sent=N seconds=S".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUND_NS = 1000000, ARP_EVERY = 4, DISCARD_PORT = 9, PORTS_EACH = 32768 };

typedef struct SynFrame {
    struct ether_header eth;
    struct iphdr ip;
    struct tcphdr tcp;
    uint8_t options[4];
} __attribute__((packed)) SynFrame;

static int raw_fd, udp_fd;
static struct in_addr source, target;
static uint8_t own_mac[ETH_ALEN];

static void __attribute__((noreturn)) fail(const char *what)
{
    fprintf(stderr, "chatter: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void open_raw(const char *interface)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET };
    struct sockaddr_ll bound;
    socklen_t length = sizeof(bound);

    raw_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    address.sll_ifindex = if_nametoindex(interface);
    if (raw_fd < 0 || bind(raw_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(raw_fd, (struct sockaddr *)&bound, &length) < 0) {
        fail(interface);
    }
    memcpy(own_mac, bound.sll_addr, ETH_ALEN);
}

static void send_arp(void)
{
    struct {
        struct ether_header eth;
        struct ether_arp arp;
    } __attribute__((packed)) f = {
        .eth.ether_type = htons(ETHERTYPE_ARP),
        .arp.arp_hrd = htons(ARPHRD_ETHER), .arp.arp_pro = htons(ETHERTYPE_IP),
        .arp.arp_hln = ETH_ALEN, .arp.arp_pln = 4, .arp.arp_op = htons(ARPOP_REQUEST),
    };

    memset(f.eth.ether_dhost, 0xff, ETH_ALEN);
    memcpy(f.eth.ether_shost, own_mac, ETH_ALEN);
    memcpy(f.arp.arp_sha, own_mac, ETH_ALEN);
    memcpy(f.arp.arp_spa, &source, 4);
    memcpy(f.arp.arp_tpa, &target, 4);
    if (send(raw_fd, &f, sizeof(f), 0) < 0 && errno != ENOBUFS) {
        fail("ARP");
    }
}

static void send_noise(uint64_t i)
{
    if (i % ARP_EVERY == 0) {
        send_arp();
    } else {
        send(udp_fd, "noise", 5, 0);    /* the answer, an ICMP error, is not our affair */
    }
}

static uint32_t sum16(const void *data, size_t bytes, uint32_t sum)
{
    const uint8_t *b = data;

    for (size_t i = 0; i < bytes; i += 2) {
        sum += b[i] << 8 | b[i + 1];
    }
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return htons(~((sum & 0xffff) + (sum >> 16)));
}

static void send_syn(SynFrame *f, uint64_t i)
{
    f->ip.saddr = htonl(ntohl(source.s_addr) + i / PORTS_EACH);
    f->ip.check = 0;
    f->ip.check = fold(sum16(&f->ip, sizeof(f->ip), 0));
    f->tcp.source = htons(1024 + i % PORTS_EACH);
    f->tcp.seq = htonl(i * 2654435761u);
    f->tcp.check = 0;
    f->tcp.check = fold(sum16(&f->tcp, sizeof(f->tcp) + sizeof(f->options),
                              sum16(&f->ip.saddr, 8, IPPROTO_TCP + sizeof(f->tcp) +
                                                     sizeof(f->options))));
    while (send(raw_fd, f, sizeof(*f), 0) < 0) {
        if (errno != ENOBUFS && errno != EAGAIN) {
            fail("SYN");
        }
        usleep(100);
    }
}

static void make_syn(SynFrame *f, uint16_t port, const char *mac)
{
    uint8_t *m = f->eth.ether_dhost;

    *f = (SynFrame) {
        .eth.ether_type = htons(ETHERTYPE_IP),
        .ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
                .tot_len = htons(sizeof(*f) - sizeof(f->eth)), .daddr = target.s_addr },
        .tcp = { .dest = htons(port), .doff = 6, .syn = 1, .window = htons(64240) },
        .options = { 2, 4, 1460 >> 8, 1460 & 0xff },
    };
    if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4,
               m + 5) != ETH_ALEN) {
        errno = EINVAL;
        fail(mac);
    }
    memcpy(f->eth.ether_shost, own_mac, ETH_ALEN);
}

static bool input_ended(void)
{
    struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };

    return poll(&fd, 1, 0) > 0;
}

int main(int argc, char **argv)
{
    bool noise = argc == 6 && !strcmp(argv[1], "noise");
    bool syn = argc == 9 && !strcmp(argv[1], "syn");
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT) };
    uint64_t count = UINT64_MAX, sent = 0, rate;
    int64_t begin, now;
    SynFrame frame;

    if ((!noise && !syn) || inet_pton(AF_INET, argv[3], &source) != 1 ||
        inet_pton(AF_INET, argv[4], &target) != 1) {
        fprintf(stderr, "usage: chatter noise INTERFACE SOURCE TARGET RATE\n"
                        "       chatter syn INTERFACE SOURCE TARGET PORT MAC RATE COUNT\n");
        return 2;
    }
    open_raw(argv[2]);
    rate = strtoull(argv[noise ? 5 : 7], NULL, 10);
    if (noise) {
        to.sin_addr = target;
        udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (udp_fd < 0 || connect(udp_fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
            fail("UDP");
        }
    } else {
        count = strtoull(argv[8], NULL, 10);
        make_syn(&frame, atoi(argv[5]), argv[6]);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    puts("ready");
    fflush(stdout);

    begin = now_ns();
    while (sent < count && !(noise && input_ended())) {
        struct timespec round = { 0, ROUND_NS };
        uint64_t due;

        now = now_ns();
        due = (now - begin) * (double)rate / 1e9;
        due = due < count ? due : count;
        for (; sent < due; sent++) {
            if (noise) {
                send_noise(sent);
            } else {
                send_syn(&frame, sent);
            }
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &round, NULL);
    }
    printf("sent=%llu seconds=%.3f\n", (unsigned long long)sent, (now_ns() - begin) / 1e9);
    return 0;
}

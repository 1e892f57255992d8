/*
 * lwIP's configuration for the simulation: no threads, no real clock, no
 * static pools, checksums generated and checked, IPv4 and IPv6, nothing but TCP
 * (and ICMP) above them.
 *
 * A build has one of three characters:
 *   SIM_WIDE   window scaling, timestamps, SACK blocks sent, an out-of-order
 *              queue, 512 KiB windows, any MSS up to jumbo frames
 *   SIM_PLAIN  none of them: RFC 793's 64 KiB, no options but MSS, go-back-N
 *   SIM_SMALL  options, but a window of a few small segments
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_LWIPOPTS_H
#define SIM_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_SINGLE_NETIF 1
#define LWIP_HOOK_FILENAME "hooks.h"

#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 0
#define LWIP_DNS 0
#define LWIP_DHCP 0
#define LWIP_AUTOIP 0
#define LWIP_ACD 0
#define LWIP_IGMP 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_IPV6_REASS 0
#define LWIP_IPV6_FRAG 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_DHCP6 0
#define LWIP_STATS 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0

#define LWIP_TCP 1
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define TCP_SND_QUEUELEN 0xfff0
#define TCP_SNDLOWAT 1
#define TCP_SNDQUEUELOWAT 2
#define MEMP_NUM_TCP_SEG 0xffff
/* Patience: no connection is ever given up (lwIP counts to 255).  An enumerator, because
 * lwIP's #if allows 12 (its code bounds the index into the backoff table itself). */
enum { SIM_PATIENCE = 1000 };
#define TCP_MAXRTX SIM_PATIENCE
#define TCP_SYNMAXRTX SIM_PATIENCE
#define TCP_MSL 1000000         /* ms; lwIP forgets unsent data in LAST-ACK after two */
#define LWIP_TCP_RTO_TIME 1000
#define LWIP_TCP_KEEPALIVE 1

#if defined(SIM_WIDE)
#define TCP_TMR_INTERVAL 100
#define TCP_MSS 8960
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 4
#define TCP_WND (512 * 1024)
#define TCP_SND_BUF (512 * 1024)
#define LWIP_TCP_TIMESTAMPS 1
#define LWIP_TCP_SACK_OUT 1
#define TCP_QUEUE_OOSEQ 1
#elif defined(SIM_PLAIN)
#define TCP_TMR_INTERVAL 250
#define TCP_MSS 1460
#define TCP_WND 65535
#define TCP_SND_BUF 65535
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_SACK_OUT 0
#define TCP_QUEUE_OOSEQ 0
#elif defined(SIM_SMALL)
#define TCP_TMR_INTERVAL 50
#define TCP_MSS 536
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 1
#define TCP_WND (7 * 536)
#define TCP_SND_BUF (16 * 536)
#define LWIP_TCP_TIMESTAMPS 1
#define LWIP_TCP_SACK_OUT 1
#define TCP_QUEUE_OOSEQ 1
#else
#error "say which character this lwIP has"
#endif

#endif

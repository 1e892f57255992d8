/*
 * lwIP's port to the simulation: hooks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_LWIP_HOOKS_H
#define SIM_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/* In stack.c: initial sequence numbers are the scenario's choice. */
u32_t sim_lwip_isn(u16_t local_port, u16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) \
    sim_lwip_isn(local_port, remote_port)

#endif

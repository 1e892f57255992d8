/*
 * lwIP's port to the simulation: compiler and platform.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef LWIP_ARCH_CC_H
#define LWIP_ARCH_CC_H

/* Both are in stack.c; a failed assertion is a failed simulation. */
unsigned int sim_lwip_rand(void);
void sim_lwip_assert(const char *message, const char *file, int line)
    __attribute__((noreturn));

#define LWIP_RAND() sim_lwip_rand()
#define LWIP_PLATFORM_DIAG(x) do { } while (0)
#define LWIP_PLATFORM_ASSERT(x) sim_lwip_assert(x, __FILE__, __LINE__)
/* LWIP_ERROR is for conditions that lwIP handles. */
#define LWIP_ERROR(message, expression, handler) \
    do { if (!(expression)) { handler; } } while (0)

#endif

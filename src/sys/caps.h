/* SPDX-License-Identifier: Apache-2.0 */
/* Capability sets as masks: bit n is capability n of capabilities(7). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a step's root may do: the set that Docker gives containers. */
uint64_t caps_default(void);
/* May this process mount and make namespaces (CAP_SYS_ADMIN, effective)? */
bool caps_may_mount(void);
/* May it map any id into a user namespace (CAP_SETUID, CAP_SETGID and CAP_SETFCAP, effective)? */
bool caps_may_set_ids(void);

/* Async-signal-safe; 0 or -errno. Take everything not in mask out of the bounding set. */
int caps_drop_bounding(uint64_t mask);
/* Async-signal-safe; 0 or -errno. Permitted and effective become mask of what is permitted, inheritable and
 * ambient empty. */
int caps_limit(uint64_t mask);

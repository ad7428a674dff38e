/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sys/userns.h"

/* How many ids are mapped here. */
uint64_t userns_id_count(void);

/* Ranges that file (/etc/subuid, /etc/subgid) grants to uid. */
void userns_granted(const char *file, uid_t uid, struct vec *out);
/* Is the program in PATH, or where distributions put it? */
bool userns_tool_found(const char *name);

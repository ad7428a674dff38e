/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Working without root: a user namespace in which this process is root over the ids that were granted to its
 * user
 * (/etc/subuid, /etc/subgid), or over its own id alone. A container's root that may not mount keeps the ids
 * it has.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Nothing for a process that may mount already. Else enter a user and a mount namespace, as user 0. Call
 * while there is one thread only. ERR_DENIED or ERR_NO_SPACE with the setting that is in the way as the hint.
 */
MUST_USE struct err *userns_enter(void);
/* Is this process in another user namespace than the machine's first one? Known for good after the first
 * call. */
bool userns_is_rootless(void);
/* Is only one id mapped here? Then programs that change users or owners fail. */
bool userns_one_id(void);
/* The ids that this process's user and group have outside of its user namespace. */
uid_t userns_outer_uid(void);
gid_t userns_outer_gid(void);
/* The command line that grants ids to the user uid (as outside). Caller frees. */
char *userns_grant_command(uid_t uid);

/* A property of the machine that building depends on. */
struct userns_check {
	const char *name; /* static */
	char *detail;
	char *fix;  /* NULL: fine */
	bool fatal; /* with fix: building cannot work */
};
void userns_check_fini(struct userns_check *c);
/* Append a struct userns_check for each to out, for the user uid (as outside: userns_outer_uid). */
void userns_describe(uid_t uid, struct vec *out);

/* Ids that /etc/subuid or subgid (text, "name:start:count" lines) grant to a user by name or number. */
struct id_range {
	uint32_t start, count;
};
void subid_ranges(struct str text, const char *name, uint32_t uid, struct vec *out);

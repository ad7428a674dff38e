/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups of an image: its own /etc/passwd and /etc/group, never the machine's.
 * Threads: any.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

struct image_user {
	uint32_t uid, gid;
	uint32_t *groups; /* supplementary ones; gid is always the first */
	size_t group_count;
	char *home; /* "/" when passwd does not say */
};
void image_user_fini(struct image_user *u);

/* The same from the text of the two files. */
MUST_USE struct err *image_user_find(
	struct str passwd, struct str group, const char *spec, struct image_user *out);

/*
 * spec: "user[:group]", each a name or a number; NULL or "": root. A number without an entry is fine, a name
 * without one ERR_NOT_FOUND. Without a group: the user's of passwd (else 0) and those of /etc/group; with
 * one, that alone.
 */
MUST_USE struct err *image_user_lookup(int rootfd, const char *spec, struct image_user *out);

/*
 * Who a file is given to: "user[:group]" as above, but a number alone is the group too, and "user:=" means
 * the user's number as the group.
 */
MUST_USE struct err *image_owner_lookup(int rootfd, const char *spec, uint32_t *uid, uint32_t *gid);

/* SPDX-License-Identifier: Apache-2.0 */
/* RUN --mount=... : its keys, and its meaning once values are expanded. */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "dockerfile/instructions.h"
#include "graph/node.h"

/* Split one flag's value. Mistakes go to d. */
void mount_split(struct arena *a, struct diag *d, struct pos at, const char *value, struct mount_words *out);

struct mount_spec {
	enum mount_kind kind;
	const char *from, *source, *target, *id, *env;
	enum cache_sharing sharing;
	bool writable;
	bool required;
	bool has_owner; /* mode, uid or gid was given */
	uint32_t mode, uid, gid;
	uint64_t size;
};
/* fields with expanded values. Defaults that depend on other mounts or on WORKDIR are left to the caller:
 * target may be NULL or relative. */
MUST_USE struct err *mount_parse(
	struct arena *a, const struct mount_field *fields, size_t count, struct mount_spec *out);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions with their flags checked and grouped into stages. No variable is expanded yet. Lives in the
 * arena of the tree.
 */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "dockerfile/ast.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLAGS(X)                            \
	X(PLATFORM, "platform")             \
	X(FROM, "from")                     \
	X(CHOWN, "chown")                   \
	X(CHMOD, "chmod")                   \
	X(LINK, "link")                     \
	X(PARENTS, "parents")               \
	X(EXCLUDE, "exclude")               \
	X(CHECKSUM, "checksum")             \
	X(KEEP_GIT_DIR, "keep-git-dir")     \
	X(UNPACK, "unpack")                 \
	X(MOUNT, "mount")                   \
	X(NETWORK, "network")               \
	X(SECURITY, "security")             \
	X(INTERVAL, "interval")             \
	X(TIMEOUT, "timeout")               \
	X(START_PERIOD, "start-period")     \
	X(START_INTERVAL, "start-interval") \
	X(RETRIES, "retries")

#define X(id, name) FLAG_##id,
enum flag_id { FLAGS(X) FLAG_COUNT };
#undef X

struct mount_field {
	const char *key;   /* lower case */
	const char *value; /* NULL: there was no '=' */
};

/* One --mount, split but not expanded. */
struct mount_words {
	struct pos at;
	const struct mount_field *fields;
	size_t count;
	const char *from; /* NULL: none given */
};

struct instr {
	enum keyword keyword;
	const struct ast_node *node;
	const char *flag[FLAG_COUNT]; /* value; boolean flags: "true" or "false"; NULL: not given */
	struct pos flag_at[FLAG_COUNT];
	const char *const *exclude; /* NULL if none */
	const struct mount_words *mounts;
	size_t mount_count;
};

struct stage_text {
	struct instr from;
	const char *name; /* lower case; NULL: unnamed */
	const char *base; /* not expanded */
	struct pos base_at;
	const struct instr *instrs;
	size_t count;
};

struct program {
	const struct instr *globals; /* ARGs before the first FROM */
	size_t global_count;
	struct stage_text *stages;
	size_t stage_count;
};

/* Mistakes go to d. */
void program_build(struct arena *a, struct diag *d, const struct ast *ast, struct program *out);
void instr_build(struct arena *a, struct diag *d, const struct ast_node *n, struct instr *out);
bool instr_flag(const struct instr *i, enum flag_id f); /* is a boolean flag set to true? */
const char *flag_name(enum flag_id f);

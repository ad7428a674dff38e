/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of ignore files (.dockerignore), as moby/patternmatcher reads them: '*' and '?' do not match '/',
 * "[a-z]",
 * '\' escapes, "**" is any number of directories, "!" takes back. The last pattern that matches a path or one
 * of its parents decides. Pure text; paths are clean and relative ("a/b"). Threads: a compiled one may be
 * shared.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ignore;

/* The patterns in an ignore file's text, appended: comments ('#' in column 0), blank lines and a BOM dropped,
 * blanks trimmed. */
MUST_USE struct err *ignore_parse(struct str text, struct strvec *patterns);
/* NULL-terminated list, may be NULL. ERR_INVALID names the pattern. Caller frees. */
MUST_USE struct err *ignore_new(const char *const *patterns, struct ignore **out);
void ignore_free(struct ignore *ig);
void ignore_freep(struct ignore **ig);

/* Is path matched, looking at its parents too? *rule (may be NULL): the deciding pattern as written,
 * borrowed; NULL if none matched. */
bool ignore_match(const struct ignore *ig, const char *path, const char **rule);

/*
 * For walks, which know the parent's result: a state is ignore_state_size bytes, all zero for the root
 * directory. state (may be NULL for what has no children) receives path's.
 */
size_t ignore_state_size(const struct ignore *ig);
bool ignore_step(const struct ignore *ig, const uint8_t *parent, const char *path, uint8_t *state);
/* Can a pattern with "!" (or, if positive, one without) match something below dir? When not, a walk need not
 * descend. */
bool ignore_may_match_below(const struct ignore *ig, const char *dir, bool positive);

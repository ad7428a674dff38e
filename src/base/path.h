/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as text: pure functions, slash-separated. Never used to stay inside a root: that is sys/file.h's.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

#include <stdbool.h>

/* Like Go's path.Clean: no "//", ".", inner ".."; "" gives "."; a rooted path cannot climb. Caller frees. */
char *path_clean(const char *p);
/* Join and clean; either may be "". An absolute b does not replace a. Caller frees. */
char *path_join(const char *a, const char *b);
/* b if it is absolute, else joined to a; cleaned. Caller frees. */
char *path_resolve(const char *a, const char *b);
/* Rooted at "/": ".." clipped, leading slash dropped; the root itself is "". Caller frees. */
char *path_rooted(const char *p);
const char *path_base(const char *p); /* the last component of a clean path; borrowed; "" for "/" */
char *path_dir(const char *p);        /* all before it, cleaned; caller frees */
bool path_is_abs(const char *p);
/* Does p (clean, relative) lie at or below prefix? "" is everything. */
bool path_below(const char *p, const char *prefix);
/* Has the text a ".." component? */
bool path_has_dotdot(struct str p);

/*
 * Match one whole name or path against a pattern in the manner of Go's filepath.Match: '*' and '?' do
 * not match '/', "[a-z]", "[^x]", '\' escapes. Returns 1 match, 0 none, -1 malformed pattern.
 */
int path_match(const char *pattern, const char *name);

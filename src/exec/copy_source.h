/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a COPY means: its sources found in a tree, wildcards expanded, patterns applied. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "exec/file_tree.h"
#include "graph/node.h"

struct copy_match {
	struct file_entry *entry;
	char *path;       /* as asked (wildcards replaced), clean, relative */
	char *name;       /* its last component: what the copy is called; "" for the root */
	char *kept;       /* with "parents": the directories kept above it, "" for none; else NULL */
	struct vec picks; /* of struct picked */
};

/* Appends struct copy_match. ERR_NOT_FOUND names the source, the nearest path there is, and the ignore rule
 * that hides it. */
MUST_USE struct err *copy_sources(struct file_tree *t, const struct file_action *a, struct vec *matches);
void copy_matches_fini(struct vec *matches);

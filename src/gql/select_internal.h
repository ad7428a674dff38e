/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of selection sets with fragments spread, grouped by the key they have in the answer. */
#pragma once

#include "base/vec.h"
#include "gql/ast_internal.h"

struct key_group {
	struct str key;
	struct ast_selection **nodes; /* in the order of the text; from the arena of grouping_finish */
	size_t count;
};

struct grouping {
	struct vec fields; /* private */
	struct vec groups; /* of struct key_group, in the order of first appearance */
	struct map *by_key;
};

struct selector {
	/* Is the field or fragment selected at all? NULL: all are. */
	bool (*wanted)(void *ctx, const struct ast_selection *s);
	void *ctx;
	uint64_t walk; /* a number never used before: marks the fragments that were spread */
};

void grouping_init(struct grouping *g);
void grouping_fini(struct grouping *g);
/* The fields of one selection set; several may be added. Returns how many selections were looked at. */
size_t grouping_add(struct grouping *g, struct ast_selection *set, const struct selector *how);
void grouping_finish(struct grouping *g, struct arena *a);

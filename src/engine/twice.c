/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/engine_internal.h"

/* How many differing paths of one step are listed. */
#define PATHS_MAX 20

static struct err *build_cold(struct build *b)
{
	struct solve_options so;

	TRY(build_prepare(b));
	TRY(build_lower(b));
	so = build_solve_options(b);
	so.isolated = true;
	return solve(b->engine->store, b->ex, &b->file.root, b->file.root ? 1 : 0, &so, &b->solved);
}

static const char *last_layer(const struct solved_node *n)
{
	return n->snapshot.layers.len ? n->snapshot.layers.ptr[n->snapshot.layers.len - 1] : NULL;
}

static struct err *same_layer(struct build *b, const char *first, const char *second, bool *same)
{
	struct step_io io = {0, NULL, b->rq->cancel};
	struct layer l1 = {0}, l2 = {0};

	*same = cstr_eq(first, second);
	if (*same || !first || !second)
		return NULL;
	TRY(layer_need_diff_id(b->ex, first, &io, &l1));
	TRY(layer_need_diff_id(b->ex, second, &io, &l2));
	*same = digest_eq(&l1.diff_id, &l2.diff_id);
	return NULL;
}

static struct err *report_step(
	struct build *b, const struct node *n, const char *first, const char *second, struct buf *report)
{
	const struct node_label *label = node_label(n);
	AUTO_STRVEC struct strvec paths = {0};

	buf_addf(report, "%s", label->name);
	if (label->where.file)
		buf_addf(report, "  (%s:%u)", label->where.file, label->where.line);
	buf_addc(report, '\n');
	TRY(layers_compare(b->ex, first, second, PATHS_MAX + 1, &paths));
	for (size_t i = 0; i < paths.len && i < PATHS_MAX; i++)
		buf_addf(report, "    %s\n", paths.ptr[i]);
	if (paths.len > PATHS_MAX)
		buf_addf(report, "    ... and more\n");
	return NULL;
}

static struct err *compare(struct build *a, struct build *b, struct buf *report, bool *equal)
{
	const struct solved_node *na, *nb;

	for (size_t i = 0; (na = solve_result_at(a->solved, i)) && (nb = solve_result_at(b->solved, i));
		i++) {
		enum op_kind kind = node_op(na->node)->kind;
		bool same = true;
		if (kind != OP_EXEC && kind != OP_FILE)
			continue;
		const char *first = last_layer(na), *second = last_layer(nb);
		TRY(same_layer(b, first, second, &same));
		if (same)
			continue;
		*equal = false;
		TRY(report_step(b, na->node, first, second, report));
	}
	return NULL;
}

struct err *engine_build_twice(struct engine *e, const struct build_request *rq, struct buf *report,
	bool *equal, char **dockerfile_text)
{
	struct build first = {.engine = e, .rq = rq}, second = {.engine = e, .rq = rq};

	*equal = true;
	build_warn_one_id(rq);
	struct err *failure = build_cold(&first);
	if (!failure)
		failure = build_cold(&second);
	if (!failure)
		failure = compare(&first, &second, report, equal);
	if (first.dockerfile.len)
		*dockerfile_text = mem_strndup(buf_cstr(&first.dockerfile), first.dockerfile.len);
	build_fini(&second);
	build_fini(&first);
	return failure;
}

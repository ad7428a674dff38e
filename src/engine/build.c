/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "sys/file.h"
#include "sys/userns.h"

void build_result_fini(struct build_result *r)
{
	strvec_fini(&r->layers);
	json_unrefp(&r->pins);
	mem_freep(&r->dockerfile_text);
}

struct solve_options build_solve_options(const struct build *b)
{
	const struct build_request *rq = b->rq;

	return (struct solve_options){
		.jobs = rq->jobs ? rq->jobs : b->engine->settings->jobs,
		.no_cache = rq->no_cache,
		.isolated = rq->isolated,
		.evaluate = b->evaluate,
		.events = rq->events,
		.cancel = rq->cancel,
		.locked = b->pins,
	};
}

/* Programs say little when a disk is full, and some nothing at all. */
#define DISK_FULL (UINT64_C(1) << 20)

static bool disk_is_full(const struct build *b)
{
	uint64_t free_bytes = UINT64_MAX;

	err_ignore(fd_free_space(store_dirfd(b->engine->store), &free_bytes), "only a hint depends on it");
	return free_bytes < DISK_FULL;
}

static struct err *explain_full_disk(const struct build *b, struct err *e)
{
	/* What was half made may be gone again by now: only of programs the disk itself has to be asked. */
	bool full = err_kind(e) == ERR_NO_SPACE ? !err_hint_text(e)
						: err_kind(e) == ERR_EXITED && disk_is_full(b);

	if (!full)
		return e;
	return err_hint(e,
		"there is no space left on the disk of the store, %s: free some, or run \"cooper store gc\"",
		b->engine->home);
}

struct err *build_solve(struct build *b, struct node *root, struct packer *packer, struct solve_result **out)
{
	struct solve_options so = build_solve_options(b);
	AUTO_BUF struct buf salt = {0};

	if (b->epoch != FIXED_EPOCH)
		buf_addf(&salt, "epoch=%lld", (long long)(b->epoch / CLOCK_SECOND));
	/* There, steps see other owners in their base, and give none. */
	if (userns_one_id())
		buf_adds(&salt, " one-id");
	so.salt = salt.len ? buf_cstr(&salt) : NULL;
	if (packer) {
		so.on_result = packer_on_result;
		so.on_result_ctx = packer;
	}
	struct err *e = solve(b->engine->store, b->ex, &root, root ? 1 : 0, &so, out);
	return e ? explain_full_disk(b, e) : NULL;
}

static struct err *solve_image(struct build *b)
{
	struct packer *packer = b->rq->no_image ? NULL : packer_new(b);
	struct err *e = build_solve(b, b->file.root, packer, &b->solved);

	if (e) {
		packer_abandon(packer);
		return e;
	}
	return packer ? packer_finish(packer) : NULL;
}

/* [{source, pin, digest}] of all pinned sources, in the graph's order: can be replayed with --locked. */
static void collect_pins(const struct build *b, struct build_result *out)
{
	const struct solved_node *n;

	out->pins = json_array();
	for (size_t i = 0; (n = solve_result_at(b->solved, i)); i++) {
		enum op_kind kind = node_op(n->node)->kind;
		char text[DIGEST_TEXT_MAX];
		out->steps += !op_is_source(kind);
		out->cached += !op_is_source(kind) && n->cached;
		if (!n->pin.text || kind == OP_LOCAL)
			continue;
		json_t *o = json_object();
		json_set_text(o, "source", digest_text(node_digest(n->node), text));
		json_set_text(o, "pin", n->pin.text);
		json_set_text(o, "digest", digest_text(&n->pin.digest, text));
		json_array_append_new(out->pins, o);
	}
}

struct err *build_make_image(struct build *b, struct build_result *out)
{
	TRY(solve_image(b));
	collect_pins(b, out);
	if (b->rq->evaluated)
		TRY(build_describe(b, b->rq->evaluated_root, b->rq->evaluated));
	return b->rq->no_image ? NULL : build_assemble(b, out);
}

void build_warn_one_id(const struct build_request *rq)
{
	if (!userns_one_id())
		return;
	AUTO_FREE char *grant = userns_grant_command(userns_outer_uid());
	event_warn(rq->events, (struct source_range){0},
		"only one user id can be used here: all files of images belong to root, so that the image is "
		"another "
		"than with full ids, and steps that change owners or users fail; to be granted ids: %s (and "
		"newuidmap in PATH: apt install uidmap)",
		grant);
}

static struct err *run_build(struct build *b, struct build_result *out)
{
	TRY(build_prepare(b));
	build_warn_one_id(b->rq);
	out->dockerfile_text = mem_strndup(buf_cstr(&b->dockerfile), b->dockerfile.len);
	TRY(build_lower(b));
	return build_make_image(b, out);
}

struct err *engine_build(struct engine *e, const struct build_request *rq, struct build_result *out)
{
	struct build b = {.engine = e, .rq = rq};
	struct err *failure = run_build(&b, out);

	build_fini(&b);
	return failure;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where tags come from: by their own characters, and by the label of their images. */
#include "base/mem.h"
#include "release/release_internal.h"

#include <string.h>

void trace_fini(struct trace *t)
{
	mem_freep(&t->version);
	mem_freep(&t->reason);
	*t = (struct trace){0};
}

static const char *why_no_commit(const char *tag)
{
	if (!tag)
		return "without a tag nothing names a commit";
	if (strstr(tag, "-dirty-"))
		return "built from changes that were not committed";
	if (cstr_ends(tag, "-unpushed") || cstr_ends(tag, "-unpushed-nix"))
		return "built from a commit that was not pushed";
	return "the tag does not name a commit";
}

static void read_tag(const char *tag, struct trace *out)
{
	AUTO(tag_parts_fini) struct tag_parts parts = {0};
	bool ok = false;
	*out = (struct trace){.provenance = PROVENANCE_UNKNOWN};
	if (tag)
		tag_parse(tag, &ok, &parts);
	if (!ok) {
		out->reason = mem_strdup(why_no_commit(tag));
		return;
	}
	out->version = steal(&parts.version);
	memcpy(out->sha7, parts.sha7, sizeof(out->sha7));
}

/* Takes the answer over. */
static void take(struct trace *t, struct provenance_query *q)
{
	t->provenance = q->provenance;
	mem_freep(&t->reason);
	t->reason = steal(&q->reason);
	memcpy(t->commit, q->commit.id, sizeof(t->commit));
	t->time = q->commit.time;
}

struct err *trace_tags(struct repo *r, const char *const *tags, struct trace *out, size_t count)
{
	AUTO(vec_fini) struct vec queries = VEC_OF(struct provenance_query);
	for (size_t i = 0; i < count; i++) {
		read_tag(tags[i], &out[i]);
		if (*out[i].sha7)
			((struct provenance_query *)vec_push(&queries))->hex = out[i].sha7;
	}
	struct err *e = repo_provenance_many(r, queries.ptr, queries.len);
	for (size_t i = 0, q = 0; i < count; i++) {
		if (e)
			trace_fini(&out[i]);
		else if (*out[i].sha7)
			take(&out[i], vec_at(&queries, q++));
	}
	for (size_t i = 0; i < queries.len && !e; i++)
		provenance_query_fini(vec_at(&queries, i));
	return e;
}

/*
 * The label decides, unless it was inherited from a base image: then it names a commit of some other
 * repository, and the tag's own characters stay what is known.
 */
static void take_label(struct trace *t, struct provenance_query *q)
{
	if (q->provenance == PROVENANCE_UNKNOWN && *t->sha7 && !cstr_starts(t->revision, t->sha7))
		t->revision[0] = 0;
	else
		take(t, q);
}

struct err *trace_labels(struct repo *r, struct trace *const *traces, size_t count)
{
	AUTO(vec_fini) struct vec queries = VEC_OF(struct provenance_query);
	for (size_t i = 0; i < count; i++)
		if (*traces[i]->revision)
			((struct provenance_query *)vec_push(&queries))->hex = traces[i]->revision;
	struct err *e = repo_provenance_many(r, queries.ptr, queries.len);
	for (size_t i = 0, q = 0; i < count && !e; i++)
		if (*traces[i]->revision)
			take_label(traces[i], vec_at(&queries, q++));
	for (size_t i = 0; i < queries.len && !e; i++)
		provenance_query_fini(vec_at(&queries, i));
	return e;
}

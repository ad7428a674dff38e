/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream lists: tags, and what is about an image. It is asked each time; when it cannot tell, what
 * is here is the answer. */
#include "base/mem.h"
#include "registry/cache_internal.h"

#include <string.h>

#define TAGS_PAGE 1000

static void warn(const struct request *q, struct http_exchange *x)
{
	AUTO_FREE char *text = mem_printf("299 - \"%s could not be asked: this is what is here of it\"",
		q->upstream->setting->upstream);
	http_set_header(x, "Warning", text);
	cache_count(q->upstream, CACHE_STALE);
}

static void descriptors_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		descriptor_fini(vec_at(v, i));
	vec_fini(v);
}

/* What is known here is better than nothing, but for what is not there. True: the list here is the answer. */
static bool settle(
	struct request *q, struct http_exchange *x, const struct trouble *t, bool here, bool *answered)
{
	http_restart_idle(x);
	if (!t->any)
		return false;
	upstream_pause(q->upstream, t);
	if (here && t->error != CACHE_NOT_FOUND) {
		warn(q, x);
		return true;
	}
	*answered = true;
	cache_count(q->upstream, CACHE_FAILED);
	reply_trouble(q, x, t);
	return true;
}

/* ---- tags ---- */

static bool is_page(const struct strvec *page, size_t n, const char *last)
{
	for (size_t i = 0; i < page->len; i++) {
		const char *before = i ? page->ptr[i - 1] : last;
		if (before && strcmp(page->ptr[i], before) <= 0)
			return false;
	}
	return page->len <= n;
}

/* Some do not sort, or give the first page again whatever they are told: then all of them are fetched. */
static struct err *tags_after(struct request *q, unsigned n, const char *last, const struct transfer_io *io,
	struct strvec *out, bool *more)
{
	struct upstream *u = q->upstream;
	const struct reference ref = {.registry = (char *)u->setting->upstream, .repository = q->there};
	AUTO_STRVEC struct strvec page = {0};
	AUTO_STRVEC struct strvec all = {0};
	TRY(remote_tags_page(u->remote, &ref, n, last, io, &page, more));
	if (is_page(&page, n, last)) {
		strvec_push_all(out, strvec_list(&page));
		return NULL;
	}
	*more = false;
	TRY(remote_tags(u->remote, &ref, io, &all));
	for (size_t i = 0; i < all.len && !*more; i++) {
		if (last && strcmp(all.ptr[i], last) <= 0)
			continue;
		if (out->len == n)
			*more = true;
		else
			strvec_push(out, all.ptr[i]);
	}
	return NULL;
}

static void send_tags(
	struct request *q, struct http_exchange *x, const struct strvec *tags, unsigned n, bool more)
{
	AUTO_JSON json_t *body = json_object();
	json_t *list = json_array();
	for (size_t i = 0; i < tags->len; i++)
		json_array_append_new(list, json_text(tags->ptr[i]));
	json_object_set_new(body, "name", json_text(q->repository));
	json_object_set_new(body, "tags", list);
	if (more && tags->len) {
		AUTO_FREE char *query = mem_printf("n=%u&last=%s", n, tags->ptr[tags->len - 1]);
		reply_next_page(x, http_path(x), query);
	}
	cache_count(q->upstream, CACHE_REVALIDATED);
	reply_json(x, "application/json", body);
}

struct err *cache_tags(struct request *q, struct http_exchange *x, uint64_t n, bool *answered)
{
	struct upstream *u = q->upstream;
	struct remote_refusal why = {0};
	const struct transfer_io io = upstream_io(q, &why);
	AUTO(trouble_fini) struct trouble t = {0};
	AUTO_STRVEC struct strvec tags = {0};
	const char *last = http_query(x, "last");
	unsigned most = n < TAGS_PAGE ? (unsigned)n : TAGS_PAGE;
	bool more = false, here = false;
	TRY(records_repository_known(q->s, q->repository, &here));
	if (n == 0) {
		send_tags(q, x, &tags, 0, false);
		*answered = true;
		return NULL;
	}
	if (upstream_enter(u)) {
		struct err *e = tags_after(q, most, last && *last ? last : NULL, &io, &tags, &more);
		upstream_leave(u);
		trouble_of(u, e, &why, "NAME_UNKNOWN", &t);
	} else {
		trouble_busy(&t);
	}
	if (settle(q, x, &t, here, answered))
		return NULL;
	*answered = true;
	send_tags(q, x, &tags, most, more);
	return NULL;
}

/* ---- referrers ---- */

static void send_referrers(
	struct request *q, struct http_exchange *x, const struct vec *found, const char *type)
{
	AUTO_JSON json_t *body = json_object();
	json_t *list = json_array();
	for (size_t i = 0; i < found->len; i++) {
		const struct descriptor *d = vec_at(found, i);
		if (!type || cstr_eq(d->artifact_type, type))
			json_array_append_new(list, descriptor_json(d));
	}
	json_object_set_new(body, "schemaVersion", json_integer(2));
	json_object_set_new(body, "mediaType", json_text(MEDIA_OCI_INDEX));
	json_object_set_new(body, "manifests", list);
	if (type)
		http_set_header(x, "OCI-Filters-Applied", "artifactType");
	cache_count(q->upstream, CACHE_REVALIDATED);
	reply_json(x, MEDIA_OCI_INDEX, body);
}

struct err *cache_referrers(struct request *q, struct http_exchange *x, const char *type, bool *answered)
{
	struct upstream *u = q->upstream;
	struct remote_refusal why = {0};
	const struct transfer_io io = upstream_io(q, &why);
	const struct reference ref = {.registry = (char *)u->setting->upstream, .repository = q->there};
	AUTO(trouble_fini) struct trouble t = {0};
	AUTO(descriptors_fini) struct vec found = VEC_OF(struct descriptor);
	bool offered = false, here = false;
	TRY(records_repository_known(q->s, q->repository, &here));
	if (upstream_enter(u)) {
		struct err *e = remote_referrers(u->remote, &ref, &q->digest, &io, &found, &offered);
		upstream_leave(u);
		trouble_of(u, e, &why, "NAME_UNKNOWN", &t);
	} else {
		trouble_busy(&t);
	}
	if (settle(q, x, &t, here, answered))
		return NULL;
	*answered = true;
	if (offered)
		send_referrers(q, x, &found, type && *type ? type : NULL);
	else
		/* So that clients look for the tag that stands for the list. */
		reply_error(x, 404, "UNSUPPORTED", "%s does not list referrers", u->setting->upstream);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "http/client.h"
#include "registry/cache_internal.h"
#include "registry/registry_internal.h"

#include <stdlib.h>
#include <string.h>

/* Entries of one answer; the client follows the link for more. */
#define PAGE_DEFAULT 10000
#define REFERRERS_BYTES_MAX ((size_t)3 << 20)

static bool reading(struct http_exchange *x)
{
	if (cstr_eq(http_method(x), "GET") || is_head(x))
		return true;
	reply_method(x, "GET, HEAD");
	return false;
}

static json_t *text_array(const struct strvec *v, size_t count)
{
	json_t *a = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(a, json_text(v->ptr[i]));
	return a;
}

/* Asks for one more than a page to know whether there is a next one. */
static void send_page(
	struct http_exchange *x, const struct strvec *found, uint64_t n, json_t *body, const char *key)
{
	size_t count = found->len < n ? found->len : (size_t)n;
	if (found->len > n && n > 0) {
		AUTO_FREE char *query =
			mem_printf("n=%llu&last=%s", (unsigned long long)n, found->ptr[n - 1]);
		reply_next_page(x, http_path(x), query);
	}
	json_object_set_new(body, key, text_array(found, count));
	reply_json(x, "application/json", body);
}

struct err *tags_begin(struct request *q, struct http_exchange *x)
{
	uint64_t n;
	bool given, known = false;
	if (!reading(x) || !page_size(x, &n, &given))
		return NULL;
	if (!given || n > PAGE_DEFAULT)
		n = PAGE_DEFAULT;
	bool answered = false;
	if (q->upstream)
		TRY(cache_tags(q, x, n, &answered));
	if (answered)
		return NULL;
	TRY(records_repository_known(q->s, q->repository, &known));
	if (!known) {
		reply_error(x, 404, "NAME_UNKNOWN", "there is no repository %s", q->repository);
		return NULL;
	}
	AUTO_STRVEC struct strvec tags = {0};
	const char *last = http_query(x, "last");
	TRY(records_tags(q->s, q->repository, last && *last ? last : NULL, (size_t)n + 1, &tags));
	AUTO_JSON json_t *body = json_object();
	json_object_set_new(body, "name", json_text(q->repository));
	send_page(x, &tags, n, body, "tags");
	return NULL;
}

struct err *catalog_begin(struct request *q, struct http_exchange *x)
{
	uint64_t n;
	bool given;
	if (!reading(x) || !page_size(x, &n, &given))
		return NULL;
	if (!given || n > PAGE_DEFAULT)
		n = PAGE_DEFAULT;
	AUTO_STRVEC struct strvec all = {0};
	AUTO_STRVEC struct strvec page = {0};
	TRY(registry_repositories(q->s, &all));
	const char *last = http_query(x, "last");
	for (size_t i = 0; i < all.len && page.len <= n; i++)
		if ((!last || strcmp(all.ptr[i], last) > 0) && may_read(q, x, all.ptr[i]))
			strvec_push(&page, all.ptr[i]);
	AUTO_JSON json_t *body = json_object();
	send_page(x, &page, n, body, "repositories");
	return NULL;
}

/* ---- referrers ---- */

struct referrers {
	const char *type; /* NULL: all */
	json_t *list;
	size_t bytes;
	bool more;
	char *last; /* digest of the last one taken */
};

static void referrers_fini(struct referrers *r)
{
	json_decref(r->list);
	free(r->last);
}

static struct err *add_referrer(void *ctx, const struct store_record_row *row)
{
	struct referrers *r = ctx;
	AUTO_JSON json_t *o = NULL;
	if (r->more)
		return NULL;
	TRY(json_parse(row->value, row->key, &o));
	if (r->type && !cstr_eq(json_string_value(json_object_get(o, "artifactType")), r->type))
		return NULL;
	if (r->bytes + row->value.len > REFERRERS_BYTES_MAX && json_array_size(r->list) > 0) {
		r->more = true;
		return NULL;
	}
	r->bytes += row->value.len;
	json_array_append(r->list, o);
	free(r->last);
	r->last = mem_strdup(strrchr(row->key, '/') + 1);
	return NULL;
}

/* A '+' that a client forgot to escape arrives as a blank, which no media type holds. */
static char *artifact_type(struct http_exchange *x)
{
	char *type = mem_strdup(http_query(x, "artifactType"));
	for (char *c = type; c && *c; c++)
		if (*c == ' ')
			*c = '+';
	return type;
}

/* The rest of a page that was cut is found by last=. */
static void link_rest(struct http_exchange *x, const struct referrers *r)
{
	AUTO_BUF struct buf query = {0};
	buf_addf(&query, "last=%s", r->last);
	if (r->type) {
		buf_adds(&query, "&artifactType=");
		url_encode(&query, str_c(r->type));
	}
	reply_next_page(x, http_path(x), buf_cstr(&query));
}

struct err *referrers_begin(struct request *q, struct http_exchange *x)
{
	if (!reading(x))
		return NULL;
	struct err *e = digest_parse(str_c(q->reference), &q->digest);
	if (e) {
		reply_err(x, e, "DIGEST_INVALID");
		return NULL;
	}
	AUTO_FREE char *type = artifact_type(x);
	bool answered = false;
	if (q->upstream)
		TRY(cache_referrers(q, x, type, &answered));
	if (answered)
		return NULL;
	AUTO(referrers_fini) struct referrers r = {.type = type && *type ? type : NULL, .list = json_array()};
	AUTO_FREE char *prefix = mem_printf("%s@%s/", q->repository, q->reference);
	const char *last = http_query(x, "last");
	AUTO_FREE char *after = last ? mem_printf("%s%s", prefix, last) : NULL;
	TRY(store_record_each(q->s, SPACE_REFERRER, prefix, after, 0, add_referrer, &r));
	AUTO_JSON json_t *body = json_object();
	json_object_set_new(body, "schemaVersion", json_integer(2));
	json_object_set_new(body, "mediaType", json_text(MEDIA_OCI_INDEX));
	json_object_set(body, "manifests", r.list);
	if (r.type)
		http_set_header(x, "OCI-Filters-Applied", "artifactType");
	if (r.more)
		link_rest(x, &r);
	reply_json(x, MEDIA_OCI_INDEX, body);
	return NULL;
}

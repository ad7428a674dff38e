/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "remote/access.h"
#include "remote/relay.h"
#include "remote/remote_internal.h"

#include <string.h>

#define PAGE 1000
#define PAGES_MAX 10000
#define TAGS_MAX 1000000
#define BODY_MAX ((size_t)16 << 20)

static const struct transfer_io no_io;

/* Is a parameter list, up to the comma before the next link, without a rel or with rel="next"? */
static bool rel_is_next(struct str parameters)
{
	struct str one;
	while (str_split(&parameters, ';', &one)) {
		one = str_trim(one);
		if (!str_starts(one, "rel="))
			continue;
		one = str_skip(one, 4);
		return str_eq_c(one, "next") || str_eq_c(one, "\"next\"");
	}
	return true;
}

/* The target of <target>; rel="next" among the links of a header. NULL if there is none. Caller frees. */
static char *next_of(const char *text)
{
	struct str rest = str_c(text);
	for (;;) {
		ptrdiff_t open = str_index(rest, '<');
		if (open < 0)
			return NULL;
		rest = str_skip(rest, (size_t)open + 1);
		ptrdiff_t close = str_index(rest, '>');
		if (close < 0)
			return NULL;
		struct str target = str_n(rest.ptr, (size_t)close);
		rest = str_skip(rest, (size_t)close + 1);
		ptrdiff_t comma = str_index(rest, ',');
		if (rel_is_next(comma < 0 ? rest : str_n(rest.ptr, (size_t)comma)))
			return mem_strndup(target.ptr, target.len);
		if (comma < 0)
			return NULL;
		rest = str_skip(rest, (size_t)comma);
	}
}

static char *next_link(const struct http_response *r)
{
	const char *text = NULL;
	for (unsigned i = 0; (text = http_response_header(r, "Link", i)); i++) {
		char *next = next_of(text);
		if (next)
			return next;
	}
	return NULL;
}

static struct err *take_page(const struct call *c, const struct http_response *r, struct strvec *out)
{
	AUTO_FREE char *shown = url_for_message(r->final_url);
	AUTO_FREE char *what = mem_printf("%s %s: the list of tags", c->method, shown);
	AUTO_JSON json_t *doc = NULL;
	TRY(json_parse(buf_str(&r->body), what, &doc));
	if (!json_is_object(doc))
		return err_new(ERR_INVALID, "%s is not an object", what);
	return json_get_strings(doc, "tags", what, out);
}

struct err *answer_next_page(
	const struct http_response *r, const char *what, struct strvec *seen, char **next)
{
	AUTO_FREE char *link = next_link(r);
	AUTO_FREE char *url = NULL;
	*next = NULL;
	if (!link)
		return NULL;
	TRY(url_resolve(r->final_url, link, &url));
	if (!urls_same_origin(url, r->final_url) || cstr_eq(url, r->final_url))
		return err_new(ERR_INVALID, "%s goes on at %s, which is not its next page", what, link);
	if (seen && strvec_has(seen, url))
		return err_new(ERR_INVALID, "%s goes round in a circle: %s comes again", what, url);
	if (seen)
		strvec_push(seen, url);
	*next = steal(&url);
	return NULL;
}

/* One page. missing_is_empty: there may be no such repository. */
static struct err *ask_page(const struct route *route, const char *path, const struct transfer_io *io,
	bool missing_is_empty, struct strvec *seen, struct strvec *out, char **next)
{
	const struct call c = {.endpoint = route->endpoint,
		.repository = route->repository,
		.actions = "pull",
		.method = "GET",
		.path = path,
		.max_body = BODY_MAX,
		.io = io};
	AUTO(http_response_fini) struct http_response r = {0};
	*next = NULL;
	TRY(call_run(&c, &r));
	if (r.status == 404 && missing_is_empty)
		return NULL;
	if (r.status != 200)
		return answer_error(&c, &r);
	TRY(take_page(&c, &r, out));
	return answer_next_page(&r, "the list of tags", seen, next);
}

static struct err *list(const struct route *route, const struct transfer_io *io, struct strvec *out)
{
	AUTO_STRVEC struct strvec seen = {0};
	AUTO_FREE char *path = mem_printf("/v2/%s/tags/list?n=%d", route->repository, PAGE);
	for (int page = 0; path; page++) {
		char *next = NULL;
		if (page == PAGES_MAX)
			return err_new(ERR_INVALID, "the list of tags has more than %d pages", PAGES_MAX);
		TRY(ask_page(route, path, io, page == 0, &seen, out, &next));
		mem_freep(&path);
		path = next;
		if (out->len > TAGS_MAX)
			return err_new(ERR_INVALID, "the list of tags has more than %d tags", TAGS_MAX);
	}
	return NULL;
}

static void sort_unique(struct strvec *v)
{
	strvec_sort(v);
	size_t n = 0;
	for (size_t i = 0; i < v->len; i++) {
		if (n && cstr_eq(v->ptr[n - 1], v->ptr[i]))
			mem_freep(&v->ptr[i]);
		else
			v->ptr[n++] = v->ptr[i];
	}
	if (v->len)
		v->ptr[n] = NULL;
	v->len = n;
}

struct err *remote_tags_page(struct remote *r, const struct reference *repo, unsigned n, const char *last,
	const struct transfer_io *io, struct strvec *out, bool *more)
{
	struct route route = {0};
	AUTO_BUF struct buf path = {0};
	AUTO_STRVEC struct strvec tags = {0};
	AUTO_FREE char *next = NULL;
	TRY(route_for_push(r, repo, &route));
	buf_addf(&path, "/v2/%s/tags/list?n=%u", route.repository, n);
	if (last) {
		buf_adds(&path, "&last=");
		url_encode(&path, str_c(last));
	}
	struct err *e = ask_page(&route, buf_cstr(&path), io ? io : &no_io, false, NULL, &tags, &next);
	route_fini(&route);
	if (e)
		return err_wrap(e, "listing the tags of %s/%s", repo->registry, repo->repository);
	for (size_t i = 0; i < tags.len; i++)
		if (tag_valid(str_c(tags.ptr[i])))
			strvec_push(out, tags.ptr[i]);
	*more = next != NULL;
	return NULL;
}

struct err *remote_tags(
	struct remote *r, const struct reference *repo, const struct transfer_io *io, struct strvec *out)
{
	struct route route = {0};
	AUTO_STRVEC struct strvec tags = {0};
	TRY(route_for_push(r, repo, &route));
	struct err *e = list(&route, io ? io : &no_io, &tags);
	route_fini(&route);
	if (e)
		return err_wrap(e, "listing the tags of %s/%s", repo->registry, repo->repository);
	sort_unique(&tags);
	for (size_t i = 0; i < tags.len; i++)
		if (tag_valid(str_c(tags.ptr[i]))) /* others go into URLs, and to terminals */
			strvec_push(out, tags.ptr[i]);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "http/client.h"
#include "registry/registry_internal.h"

#include <stdarg.h>

bool is_head(const struct http_exchange *x)
{
	return cstr_eq(http_method(x), "HEAD");
}

static void send_body(struct http_exchange *x, int status, struct str body)
{
	if (is_head(x))
		http_answer_head(x, status, body.len);
	else
		http_answer(x, status, body);
}

void reply_error(struct http_exchange *x, int status, const char *code, const char *fmt, ...)
{
	AUTO_BUF struct buf message = {0};
	AUTO_BUF struct buf body = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&message, fmt, ap);
	va_end(ap);
	buf_addf(&body, "{\"errors\":[{\"code\":\"%s\",\"message\":", code);
	buf_add_json(&body, buf_str(&message));
	buf_adds(&body, "}]}\n");
	http_set_header(x, "Content-Type", "application/json");
	send_body(x, status, buf_str(&body));
}

void reply_err(struct http_exchange *x, struct err *e, const char *code)
{
	AUTO_FREE char *text = err_text(e);
	enum err_kind kind = err_kind(e);
	err_free(e);
	if (kind == ERR_INVALID || kind == ERR_UNSUPPORTED) {
		reply_error(x, 400, code, "%s", text);
		return;
	}
	log_warn("registry: %s %s: %s", http_method(x), http_path(x), text);
	switch (kind) {
	case ERR_NO_SPACE:
		reply_error(x, 507, "UNKNOWN", "the disk of the registry is full");
		return;
	case ERR_DENIED:
		reply_error(x, 403, "DENIED", "the registry may not write to its store");
		return;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_CANCELED:
		http_set_header(x, "Retry-After", "1");
		reply_error(x, 503, "UNKNOWN", "the registry is busy with what was asked; try again");
		return;
	default:
		reply_error(x, 500, "UNKNOWN", "the registry has a problem of its own; its log says which");
	}
}

void reply_method(struct http_exchange *x, const char *allowed)
{
	http_set_header(x, "Allow", allowed);
	reply_error(x, 405, "UNSUPPORTED", "%s is not offered here", http_method(x));
}

void reply_may_not_delete(struct http_exchange *x)
{
	reply_error(x, 403, "DENIED", "these credentials may add to the registry, not delete from it");
}

void reply_empty(struct http_exchange *x, int status)
{
	http_answer(x, status, STR(""));
}

void reply_json(struct http_exchange *x, const char *media_type, const json_t *body)
{
	AUTO_FREE char *text = json_dump(body, false);
	http_set_header(x, "Content-Type", media_type);
	send_body(x, 200, str_c(text));
}

void reply_digest_headers(struct http_exchange *x, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX], etag[DIGEST_TEXT_MAX + 2];
	http_set_header(x, "Docker-Content-Digest", digest_text(d, text));
	snprintf(etag, sizeof(etag), "\"%s\"", text);
	http_set_header(x, "ETag", etag);
}

/* One of the listed tags, weak ones too, as for comparison by If-None-Match (RFC 9110, 13.1.2). */
static bool etag_listed(struct str list, const char *digest)
{
	struct str item;
	while (str_split(&list, ',', &item)) {
		item = str_trim(item);
		if (str_eq_c(item, "*"))
			return true;
		if (str_starts(item, "W/"))
			item = str_skip(item, 2);
		if (item.len >= 2 && item.ptr[0] == '"' && item.ptr[item.len - 1] == '"')
			item = str_n(item.ptr + 1, item.len - 2);
		if (str_eq_c(item, digest))
			return true;
	}
	return false;
}

bool client_has(const struct http_exchange *x, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	const char *list = http_header(x, "If-None-Match");
	return list && etag_listed(str_c(list), digest_text(d, text));
}

void reply_next_page(struct http_exchange *x, const char *path, const char *query)
{
	AUTO_BUF struct buf link = {0};
	const char *ns = http_query(x, "ns");
	buf_addf(&link, "<%s?%s", path, query);
	if (ns) {
		buf_adds(&link, "&ns=");
		url_encode(&link, str_c(ns));
	}
	buf_adds(&link, ">; rel=\"next\"");
	http_set_header(x, "Link", buf_cstr(&link));
}

bool page_size(struct http_exchange *x, uint64_t *out, bool *given)
{
	const char *n = http_query(x, "n");
	*out = 0;
	*given = n && *n;
	if (!*given || str_to_u64(str_c(n), out))
		return true;
	reply_error(x, 400, "UNSUPPORTED", "n must be a number");
	return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "server/api_internal.h"

#include <stdarg.h>

static void send_text(struct http_exchange *x, int status, struct str body)
{
	http_set_header(x, "Content-Type", "application/json");
	/* What is answered depends on who asks, and when. */
	http_set_header(x, "Cache-Control", "no-store");
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	if (cstr_eq(http_method(x), "HEAD"))
		http_answer_head(x, status, body.len);
	else
		http_answer(x, status, body);
}

void api_reply(struct http_exchange *x, int status, const json_t *body)
{
	AUTO_FREE char *text = json_dump(body, false);
	send_text(x, status, str_c(text));
}

void api_reply_empty(struct http_exchange *x, int status)
{
	http_set_header(x, "Cache-Control", "no-store");
	http_answer(x, status, STR(""));
}

void api_error(struct http_exchange *x, int status, const char *hint, const char *fmt, ...)
{
	AUTO_BUF struct buf message = {0}, body = {0};
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&message, fmt, ap);
	va_end(ap);
	buf_adds(&body, "{\"error\":{\"message\":");
	buf_add_json(&body, buf_str(&message));
	if (hint) {
		buf_adds(&body, ",\"hint\":");
		buf_add_json(&body, str_c(hint));
	}
	buf_adds(&body, "}}");
	send_text(x, status, buf_str(&body));
}

void api_fail(struct http_exchange *x, struct err *e)
{
	AUTO(err_freep) struct err *own = e;
	AUTO_FREE char *text = err_text(e);
	switch (err_kind(e)) {
	case ERR_INVALID:
	case ERR_USAGE:
	case ERR_NOT_FOUND:
	case ERR_EXISTS:
	case ERR_UNSUPPORTED:
		api_error(x, err_http_status(e), err_hint_text(e), "%s", text);
		return;
	default:
		break;
	}
	log_warn("server: %s %s: %s", http_method(x), http_path(x), text);
	switch (err_kind(e)) {
	case ERR_NO_SPACE:
		api_error(x, 507, NULL, "the disk of the server is full");
		return;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_CANCELED:
		http_set_header(x, "Retry-After", "1");
		api_error(x, 503, NULL, "the server is busy or about to stop; try again");
		return;
	default:
		api_error(x, 500, NULL, "the server has a problem of its own; its log says which");
	}
}

struct err *api_number(const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	if (!text)
		return NULL;
	if (!str_to_u64(str_c(text), &n) || n < min || n > max)
		return err_new(ERR_INVALID, "%s must be a whole number from %llu to %llu, not \"%.40s\"",
			name, (unsigned long long)min, (unsigned long long)max, text);
	*out = n;
	return NULL;
}

struct err *api_query_number(
	const struct http_exchange *x, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
	return api_number(http_query(x, name), name, min, max, out);
}

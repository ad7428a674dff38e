/* SPDX-License-Identifier: Apache-2.0 */
/* What clients are told when an upstream does not give what they asked for. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/cache_internal.h"

#include <stdlib.h>

/* When an upstream does not say how long its limit lasts. */
#define LIMIT_WAIT (60 * CLOCK_SECOND)

void trouble_fini(struct trouble *t)
{
	mem_freep(&t->text);
	*t = (struct trouble){0};
}

void trouble_copy(const struct trouble *from, struct trouble *to)
{
	*to = *from;
	to->text = mem_strdup(from->text);
}

void trouble_busy(struct trouble *out)
{
	*out = (struct trouble){
		.any = true,
		.error = CACHE_OWN,
		.status = 503,
		.code = "UNAVAILABLE",
		.wait = 5 * CLOCK_SECOND,
		.text = mem_strdup("the registry fetches as much as it can already; try again"),
	};
}

static void judge(
	const struct remote_refusal *why, const struct err *e, const char *missing, struct trouble *out)
{
	/* What the system denies is no word of the upstream. */
	enum err_kind kind = err_kind(e) == ERR_DENIED && err_sysno(e) ? ERR_IO : err_kind(e);
	if (why->status == 429) {
		*out = (struct trouble){.error = CACHE_LIMITED, .status = 429, .code = "TOOMANYREQUESTS"};
		out->wait = why->wait ? why->wait : LIMIT_WAIT;
		return;
	}
	switch (kind) {
	case ERR_NOT_FOUND:
		*out = (struct trouble){.error = CACHE_NOT_FOUND, .status = 404, .code = missing};
		return;
	case ERR_DENIED:
		*out = (struct trouble){.error = CACHE_DENIED, .status = 403, .code = "DENIED"};
		return;
	case ERR_TIMEOUT:
		*out = (struct trouble){.error = CACHE_TIMEOUT, .status = 504, .code = "UNAVAILABLE"};
		return;
	case ERR_UNAVAILABLE:
		*out = (struct trouble){.error = CACHE_UNREACHABLE, .status = 502, .code = "UNAVAILABLE"};
		out->wait = why->wait;
		return;
	case ERR_CORRUPT:
	case ERR_INVALID:
	case ERR_UNSUPPORTED:
		*out = (struct trouble){.error = CACHE_CORRUPT, .status = 502, .code = "UNAVAILABLE"};
		return;
	case ERR_CANCELED:
		*out = (struct trouble){.error = CACHE_OWN, .status = 503, .code = "UNAVAILABLE"};
		out->wait = CLOCK_SECOND;
		return;
	case ERR_NO_SPACE:
		*out = (struct trouble){.error = CACHE_OWN, .status = 507, .code = "UNKNOWN"};
		return;
	default:
		break;
	}
	*out = (struct trouble){.error = CACHE_OWN, .status = 500, .code = "UNKNOWN"};
}

static char *words(const struct upstream *u, const struct trouble *t, const char *text)
{
	const char *name = u->setting->upstream;
	switch (t->error) {
	case CACHE_DENIED:
		return mem_printf("%s does not let this registry have that (%s); if it exists, log in on the "
				  "registry's machine, as the user that serves: cooper login %s",
			name, text, name);
	case CACHE_LIMITED:
		return mem_printf("%s limits how much is pulled: %s", name, text);
	case CACHE_NOT_FOUND:
		return mem_printf("%s does not have that: %s", name, text);
	case CACHE_OWN:
		return mem_strdup(t->status == 507   ? "the disk of the registry is full"
				  : t->status == 503 ? "the registry is about to stop; try again"
						     : "the registry has a problem of its own; its log says "
						       "which");
	default:
		return mem_printf("%s, of which this is a cache: %s", name, text);
	}
}

void trouble_of(struct upstream *u, struct err *e, const struct remote_refusal *why, const char *missing,
	struct trouble *out)
{
	*out = (struct trouble){0};
	if (!e)
		return;
	AUTO_FREE char *text = err_text(e);
	const char *hint = err_hint_text(e);
	judge(why, e, missing, out);
	out->any = true;
	out->text = words(u, out, text);
	atomic_fetch_add_explicit(&u->errors[out->error], 1, memory_order_relaxed);
	/* What is not there is the client's affair. */
	if (out->error != CACHE_NOT_FOUND)
		log_warn("registry: cache of %s: %s%s%s", u->setting->upstream, text, hint ? ": " : "",
			hint ? hint : "");
	/* They may be in the files by the time of the next request. */
	if (out->error == CACHE_DENIED || out->error == CACHE_LIMITED)
		remote_forget_credentials(u->remote);
	err_free(e);
}

void reply_trouble(const struct request *q, struct http_exchange *x, const struct trouble *t)
{
	/* Whoever never spoke of the upstream asked for what is not here: a push, for one, goes on. */
	if (q->guess) {
		reply_error(x, 404, "NAME_UNKNOWN", "it is not here, and %s", t->text);
		return;
	}
	if (t->wait) {
		char text[24];
		int64_t seconds = (t->wait + CLOCK_SECOND - 1) / CLOCK_SECOND;
		snprintf(text, sizeof(text), "%lld", (long long)seconds);
		http_set_header(x, "Retry-After", text);
	}
	reply_error(x, t->status, t->code, "%s", t->text);
}

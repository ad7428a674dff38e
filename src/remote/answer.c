/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "remote/access.h"
#include "remote/remote_internal.h"

#include <string.h>
#include <strings.h>

#define WORDS_MAX 400
#define ERRORS_SHOWN 3

/* ---- the body of an error ---- */

static json_t *first_error(const json_t *doc, size_t i)
{
	json_t *list = json_object_get(doc, "errors");
	json_t *one = json_array_get(list, i);
	return json_is_object(one) ? one : NULL;
}

static json_t *parse_body(const struct http_response *r)
{
	json_t *doc = NULL;
	struct err *e = json_parse(buf_str(&r->body), "the answer", &doc);
	if (e)
		err_ignore(e, "error bodies may be anything");
	return doc;
}

char *answer_code(const struct http_response *r)
{
	AUTO_JSON json_t *doc = parse_body(r);
	const char *code = json_string_value(json_object_get(first_error(doc, 0), "code"));
	return mem_strdup(code ? code : "");
}

static void add_text(struct buf *out, const char *sep, const char *text)
{
	if (!text || !*text || out->len > WORDS_MAX)
		return;
	if (out->len)
		buf_adds(out, sep);
	/* Shown on a terminal: no control characters. */
	for (const char *c = text; *c && out->len <= WORDS_MAX; c++)
		buf_addc(out, (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c);
}

static void words_of_json(const json_t *doc, struct buf *out)
{
	for (size_t i = 0; i < ERRORS_SHOWN; i++) {
		const json_t *one = first_error(doc, i);
		if (!one)
			break;
		add_text(out, "; ", json_string_value(json_object_get(one, "code")));
		add_text(out, ": ", json_string_value(json_object_get(one, "message")));
		const char *detail = json_string_value(json_object_get(one, "detail"));
		add_text(out, ": ", detail);
	}
	const char *const others[] = {"message", "details", "error_description", "error", "detail"};
	for (size_t i = 0; i < ARRAY_LEN(others) && !out->len; i++)
		add_text(out, "", json_string_value(json_object_get(doc, others[i])));
}

bool answer_is_html(const struct http_response *r)
{
	const char *type = http_response_header(r, "Content-Type", 0);
	struct str body = str_trim(buf_str(&r->body));
	return (type && strncasecmp(type, "text/html", 9) == 0) || str_starts(body, "<!") ||
	       str_starts(body, "<html");
}

char *answer_words(const struct http_response *r)
{
	AUTO_BUF struct buf out = {0};
	AUTO_JSON json_t *doc = parse_body(r);
	if (json_is_object(doc)) {
		words_of_json(doc, &out);
	} else if (answer_is_html(r)) {
		buf_adds(&out, "a page of HTML, which a proxy or a web site sends, not a registry");
	} else {
		struct str rest = str_trim(buf_str(&r->body)), line;
		if (str_split(&rest, '\n', &line)) {
			AUTO_FREE char *text =
				mem_strndup(line.ptr, line.len < WORDS_MAX ? line.len : WORDS_MAX);
			add_text(&out, "", text);
		}
	}
	return buf_steal(&out);
}

struct err *answer_unpacked(const struct http_response *r)
{
	const char *coding = http_response_header(r, "Content-Encoding", 0);
	if (!coding || !*coding || strcasecmp(coding, "identity") == 0)
		return NULL;
	struct err *e = err_new(ERR_CORRUPT,
		"the answer comes with Content-Encoding %.20s, though only bytes as they are were asked for",
		coding);
	return err_hint(e, "a proxy or cache before the registry packs its answers: switch that off for it");
}

/* ---- limits ---- */

/* The number that a header begins with, and that of its parameter "w", the seconds it is counted over (0: it
 * has none): "100;w=21600" as Docker Hub writes it, "100, 100;window=..." as drafts did. */
static bool limit_header(const struct http_response *r, const char *name, uint64_t *n, uint64_t *window)
{
	const char *text = http_response_header(r, name, 0);
	struct str rest = str_c(text), number, part;
	*window = 0;
	if (!text || !str_split(&rest, ';', &number))
		return false;
	ptrdiff_t comma = str_index(number, ',');
	if (!str_to_u64(str_trim(comma < 0 ? number : str_n(number.ptr, (size_t)comma)), n))
		return false;
	while (str_split(&rest, ';', &part)) {
		part = str_trim(part);
		if (str_starts(part, "w=") && !str_to_u64(str_skip(part, 2), window))
			*window = 0;
	}
	*window = *window < 400 * 86400 ? *window : 0;
	return true;
}

bool answer_limit_spent(const struct http_response *r, int64_t ns)
{
	uint64_t left, window;
	return limit_header(r, "RateLimit-Remaining", &left, &window) && left == 0 &&
	       (int64_t)window * CLOCK_SECOND > ns;
}

/* A word that came in a header, for a terminal. */
static void add_word(struct buf *out, const char *text)
{
	for (size_t i = 0; text[i] && i < 64; i++)
		buf_addc(out, text[i] > ' ' && text[i] < 0x7f ? text[i] : '?');
}

struct err *answer_limit(const struct endpoint *ep, const struct http_response *r, struct err *e)
{
	uint64_t limit = 0, left = 0, window = 0, ignored;
	char text[CLOCK_TEXT_MAX];
	AUTO_BUF struct buf out = {0};
	const char *source = http_response_header(r, "docker-ratelimit-source", 0);
	buf_addf(&out, "%s limits how often it may be asked", ep->name);
	if (limit_header(r, "RateLimit-Limit", &limit, &window)) {
		buf_addf(&out, ": %llu times", (unsigned long long)limit);
		if (window)
			buf_addf(&out, " in %s", clock_duration((int64_t)window * CLOCK_SECOND, text));
		if (source) {
			buf_adds(&out, " for ");
			add_word(&out, source);
		}
		if (limit_header(r, "RateLimit-Remaining", &left, &ignored))
			buf_addf(&out, ", of which %llu are left", (unsigned long long)left);
	}
	return err_hint(e, "%s: wait, or log in with 'cooper login %s', or name a mirror in config.yaml",
		buf_cstr(&out), ep->name);
}

/* ---- errors ---- */

static enum err_kind kind_of(int status)
{
	switch (status) {
	case 401:
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_NOT_FOUND;
	case 405:
	case 501:
		return ERR_UNSUPPORTED;
	case 408:
		return ERR_TIMEOUT;
	case 413:
	case 507:
		return ERR_NO_SPACE;
	default:
		return status_may_pass(status) ? ERR_UNAVAILABLE : ERR_INVALID;
	}
}

static struct err *hint_for(const struct call *c, const struct http_response *r, struct err *e)
{
	const char *name = c->endpoint->name;
	AUTO_FREE char *story = NULL;
	switch (r->status) {
	case 401:
	case 403:
		story = access_story(c->endpoint, c->repository);
		return err_hint(e,
			"%s; log in with 'cooper login %s', and check the name: registries also deny what "
			"does not exist",
			story, name);
	case 404:
		return err_hint(e, "check the name and the tag");
	case 413:
		return err_hint(e, "something before the registry limits the size of requests: for nginx "
				   "raise client_max_body_size");
	case 429:
		return answer_limit(c->endpoint, r, e);
	default:
		return answer_is_html(r) ? err_hint(e, "check that %s is the address of a registry", name)
					 : e;
	}
}

void answer_note(const struct transfer_io *io, const struct http_response *r)
{
	if (io->refusal)
		*io->refusal = (struct remote_refusal){.status = r->status, .wait = answer_wait(r)};
}

struct err *answer_error(const struct call *c, const struct http_response *r)
{
	AUTO_FREE char *shown = url_for_message(r->final_url);
	AUTO_FREE char *words = answer_words(r);
	answer_note(c->io, r);
	struct err *e = err_new(kind_of(r->status), "%s %s: the answer is %d%s%s", c->method, shown,
		r->status, *words ? ", " : "", words);
	return hint_for(c, r, e);
}

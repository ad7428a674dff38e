/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "http/server_internal.h"
#include "sys/file.h"

#include <ctype.h>
#include <inttypes.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define STREAM_BLOCK (64u << 10)

/* ---- the request ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* NULL on a malformed escape or one of NUL. Caller frees. */
static char *percent_decode(struct str s, bool plus_is_space)
{
	char *out = mem_alloc(s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '+' && plus_is_space)
			c = ' ';
		if (c == '%') {
			int hi = i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
			int lo = hi >= 0 ? hex_value(s.ptr[i + 2]) : -1;
			if (lo < 0 || (hi == 0 && lo == 0)) {
				mem_freep(&out);
				return NULL;
			}
			c = (char)(hi * 16 + lo);
			i += 2;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return out;
}

bool http_parse_form(struct str text, struct strvec *out)
{
	struct str pair;
	while (str_split(&text, '&', &pair)) {
		if (!pair.len)
			continue;
		ptrdiff_t eq = str_index(pair, '=');
		struct str name = eq < 0 ? pair : str_n(pair.ptr, (size_t)eq);
		struct str value = eq < 0 ? STR("") : str_skip(pair, (size_t)eq + 1);
		char *n = percent_decode(name, true), *v = percent_decode(value, true);
		if (!n || !v) {
			mem_freep(&n);
			mem_freep(&v);
			return false;
		}
		strvec_push_take(out, n);
		strvec_push_take(out, v);
	}
	return true;
}

void exchange_parse_uri(struct http_exchange *x)
{
	struct str uri = str_c(x->uri);
	/* The absolute form (RFC 9112, 3.2.2) is what a proxy is sent; a server must take it too. */
	const char *schemes[] = {"http://", "https://"};
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (!str_starts(uri, schemes[i]))
			continue;
		uri = str_skip(uri, strlen(schemes[i]));
		ptrdiff_t slash = str_index(uri, '/');
		uri = slash < 0 ? STR("/") : str_skip(uri, (size_t)slash);
		break;
	}
	ptrdiff_t mark = str_index(uri, '?');
	struct str path = mark < 0 ? uri : str_n(uri.ptr, (size_t)mark);
	if (!str_starts(path, "/") && !str_eq_c(path, "*")) {
		x->bad_uri = "the request target is not a path";
		return;
	}
	x->path = percent_decode(path, false);
	/* As it stands, so that whoever answers can tell whom it was for. */
	bool malformed = !x->path;
	if (malformed)
		x->path = mem_strndup(path.ptr, path.len);
	if (malformed)
		x->bad_uri = "the path has a malformed escape";
	else if (mark >= 0 && !http_parse_form(str_skip(uri, (size_t)mark + 1), &x->query))
		x->bad_uri = "the query has a malformed escape";
}

const char *http_method(const struct http_exchange *x)
{
	return x->method;
}

const char *http_path(const struct http_exchange *x)
{
	return x->path;
}

const char *http_query_at(const struct http_exchange *x, const char *name, unsigned i)
{
	for (size_t at = 0; at + 1 < x->query.len; at += 2)
		if (cstr_eq(x->query.ptr[at], name) && i-- == 0)
			return x->query.ptr[at + 1];
	return NULL;
}

const char *http_query(const struct http_exchange *x, const char *name)
{
	return http_query_at(x, name, 0);
}

struct header_search {
	const char *name;
	unsigned count;
	const char *first;
	struct buf joined;
};

static enum MHD_Result header_visit(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_len,
	const char *value, size_t value_len)
{
	(void)kind;
	struct header_search *search = ctx;
	if (!str_eq_nocase(str_n(key, key_len), search->name) || !value)
		return MHD_YES;
	if (search->count == 0) {
		search->first = value;
	} else {
		if (search->count == 1)
			buf_adds(&search->joined, search->first);
		buf_adds(&search->joined, ", ");
		buf_add(&search->joined, value, value_len);
	}
	search->count++;
	return MHD_YES;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
	struct header_search search = {.name = name};
	x->server->mhd->MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, header_visit, &search);
	if (search.count < 2)
		return search.first;
	/* The joined text lives with the exchange, which only its own thread touches. */
	struct http_exchange *mine = (struct http_exchange *)x;
	strvec_push_take(&mine->joined, buf_steal(&search.joined));
	return mine->joined.ptr[mine->joined.len - 1];
}

int64_t http_content_length(const struct http_exchange *x)
{
	return x->content_length;
}

int http_socket(const struct http_exchange *x)
{
	const union MHD_ConnectionInfo *info =
		x->server->mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

const char *http_peer(const struct http_exchange *x)
{
	struct http_exchange *mine = (struct http_exchange *)x;
	if (mine->peer)
		return mine->peer;
	const union MHD_ConnectionInfo *info =
		x->server->mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	char host[NI_MAXHOST] = "unknown";
	if (info && info->client_addr) {
		socklen_t len = info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
									 : sizeof(struct sockaddr_in);
		if (getnameinfo(info->client_addr, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
			snprintf(host, sizeof(host), "unknown");
	}
	mine->peer = mem_strdup(host);
	return mine->peer;
}

bool http_is_forwarded(const struct http_exchange *x)
{
	static const char *const headers[] = {
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"};
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		if (http_header(x, headers[i]))
			return true;
	return false;
}

void http_set_note(struct http_exchange *x, void *note, void (*free_note)(void *note))
{
	if (x->note && x->free_note)
		x->free_note(x->note);
	x->note = note;
	x->free_note = free_note;
}

void *http_note(const struct http_exchange *x)
{
	return x->note;
}

/* ---- the answer ---- */

void http_set_header(struct http_exchange *x, const char *name, const char *value)
{
	/* The length is that of the body, never a caller's word. */
	if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
		return;
	strvec_push(&x->set_headers, name);
	strvec_push(&x->set_headers, value);
	for (char *c = x->set_headers.ptr[x->set_headers.len - 1]; *c; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			*c = ' ';
}

static void give(struct http_exchange *x, int status, struct MHD_Response *response)
{
	const struct mhd_lib *mhd = x->server->mhd;
	if (!response) {
		x->failed = true;
		return;
	}
	if (x->answered) {
		log_warn("http: %s %s was answered twice; the first answer stands", x->method, x->uri);
		mhd->MHD_destroy_response(response);
		return;
	}
	for (size_t i = 0; i + 1 < x->set_headers.len; i += 2)
		if (mhd->MHD_add_response_header(
			    response, x->set_headers.ptr[i], x->set_headers.ptr[i + 1]) != MHD_YES)
			log_warn("http: header %s cannot be sent", x->set_headers.ptr[i]);
	if (atomic_load(&x->server->stopping) || atomic_load(&x->daemon->retired))
		(void)mhd->MHD_add_response_header(response, "Connection", "close");
	x->response = response;
	x->status = status;
	x->answered = true;
}

void http_answer(struct http_exchange *x, int status, struct str body)
{
	/* The library takes a non-const pointer that it does not write to in this mode. */
	void *bytes = (void *)(uintptr_t)(body.len ? body.ptr : "");
	x->length = body.len;
	give(x, status,
		x->server->mhd->MHD_create_response_from_buffer(body.len, bytes, MHD_RESPMEM_MUST_COPY));
}

void http_answer_file(struct http_exchange *x, int status, int fd, uint64_t offset, uint64_t length)
{
	if (length == 0) {
		close(fd);
		http_answer(x, status, STR(""));
		return;
	}
	/* The library would try to send what is not there for as long as the peer waits. */
	struct stat st;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < offset || (uint64_t)st.st_size - offset < length) {
		close(fd);
		exchange_fail(x, err_new(ERR_CORRUPT, "%s %s: the file is shorter than it should be",
					 x->method, x->path));
		return;
	}
	struct MHD_Response *response =
		x->server->mhd->MHD_create_response_from_fd_at_offset64(length, fd, offset);
	if (!response)
		close(fd);
	x->length = length;
	give(x, status, response);
}

static ssize_t read_nothing(void *ctx, uint64_t pos, char *p, size_t max)
{
	(void)ctx;
	(void)pos;
	(void)p;
	(void)max;
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

void http_answer_head(struct http_exchange *x, int status, uint64_t content_length)
{
	if (content_length == 0) {
		http_answer(x, status, STR(""));
		return;
	}
	give(x, status,
		x->server->mhd->MHD_create_response_from_callback(
			content_length, 4096, read_nothing, NULL, NULL));
}

struct stream {
	struct http_exchange *x;
	bool sized;
	struct err *(*next)(void *ctx, void *p, size_t *len);
	void (*done)(void *ctx);
	void *ctx;
};

void http_restart_idle(struct http_exchange *x)
{
	const struct mhd_lib *mhd = x->server->mhd;
	/* Setting one where there was none is what makes the library look at the clock. */
	(void)mhd->MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	(void)mhd->MHD_set_connection_option(
		x->connection, MHD_CONNECTION_OPTION_TIMEOUT, x->server->idle_timeout_s);
}

static ssize_t stream_read(void *ctx, uint64_t pos, char *p, size_t max)
{
	(void)pos;
	struct stream *stream = ctx;
	size_t len = max;
	struct err *e = stream->next(stream->ctx, p, &len);
	if (stream->sized)
		http_restart_idle(stream->x);
	if (e) {
		char *text = err_text(e);
		log_warn("http: a streamed answer was cut: %s", text);
		mem_freep(&text);
		err_free(e);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	stream->x->streamed += len;
	return len ? (ssize_t)len : MHD_CONTENT_READER_END_OF_STREAM;
}

static void stream_free(void *ctx)
{
	struct stream *stream = ctx;
	if (stream->done)
		stream->done(stream->ctx);
	mem_freep(&stream);
}

static struct MHD_Response *stream_response(struct http_exchange *x, uint64_t size, const struct stream *what)
{
	struct stream *stream = mem_new(struct stream);
	*stream = *what;
	struct MHD_Response *response = x->server->mhd->MHD_create_response_from_callback(
		size, STREAM_BLOCK, stream_read, stream, stream_free);
	if (!response)
		stream_free(stream);
	return response;
}

void http_answer_stream(struct http_exchange *x, int status,
	struct err *(*next)(void *ctx, void *p, size_t *len), void (*done)(void *ctx), void *ctx)
{
	const struct stream what = {.x = x, .next = next, .done = done, .ctx = ctx};
	struct MHD_Response *response = stream_response(x, MHD_SIZE_UNKNOWN, &what);
	/* The library counts the time that next takes as the peer's. */
	x->patient = response && x->server->mhd->MHD_set_connection_option(
					 x->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u) == MHD_YES;
	give(x, status, response);
}

void http_answer_stream_sized(struct http_exchange *x, int status, uint64_t length,
	struct err *(*next)(void *ctx, void *p, size_t *len), void (*done)(void *ctx), void *ctx)
{
	const struct stream what = {.x = x, .sized = true, .next = next, .done = done, .ctx = ctx};
	give(x, status, stream_response(x, length, &what));
}

static void answer_plain_error(struct http_exchange *x, const struct err *e)
{
	AUTO_BUF struct buf body = {0};
	AUTO_FREE char *text = err_text(e);
	AUTO_FREE char *code = mem_strdup(err_kind_name(err_kind(e)));
	for (char *c = code; *c; c++)
		*c = *c == ' ' || *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	buf_adds(&body, "{\"errors\":[{\"code\":");
	buf_add_json(&body, str_c(code));
	buf_adds(&body, ",\"message\":");
	buf_add_json(&body, str_c(text));
	buf_adds(&body, "}]}\n");
	http_set_header(x, "Content-Type", "application/json");
	http_answer(x, err_http_status(e), buf_str(&body));
}

void exchange_fail(struct http_exchange *x, struct err *e)
{
	strvec_clear(&x->set_headers);
	if (x->server->handler.on_error && x->path) {
		x->server->handler.on_error(x->server->handler.ctx, x, e);
	} else {
		answer_plain_error(x, e);
		err_free(e);
	}
	if (!x->answered)
		x->failed = true;
}

void exchange_release(struct http_exchange *x)
{
	if (x->handled && x->server->handler.free_state)
		x->server->handler.free_state(x->server->handler.ctx, x->state);
	x->handled = false;
	x->state = NULL;
}

void exchange_free(struct http_exchange *x)
{
	if (x->response)
		x->server->mhd->MHD_destroy_response(x->response);
	exchange_release(x);
	http_set_note(x, NULL, NULL);
	mem_freep(&x->uri);
	mem_freep(&x->path);
	mem_freep(&x->peer);
	strvec_fini(&x->query);
	strvec_fini(&x->joined);
	strvec_fini(&x->set_headers);
	mem_freep(&x);
}

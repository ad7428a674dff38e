/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/listen.h"
#include "http/server_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Memory of one connection: half of it is where uploads arrive. It is cleared between requests, so more of it
 * makes small requests slower.
 */
#define CONNECTION_MEMORY ((size_t)128 << 10)
#define HEADERS_MAX ((size_t)64 << 10)
#define URI_MAX ((size_t)16 << 10)
/* Of a body that was refused by its headers, read so that the connection can carry the answer and go on. */
#define SKIP_MAX ((uint64_t)64 << 20)
/* The same of one that was refused while it came, beyond which it has no end worth waiting for. */
#define SKIP_REST_MAX ((uint64_t)512 << 20)
#define CONNECTIONS_DEFAULT 512
/* Connections that are about to be closed, or only to be told that there are too many. */
#define RESERVE 64u
#define LINGER_NS (2 * CLOCK_SECOND)

/* ---- one request ---- */

static struct err *check_framing(struct http_exchange *x)
{
	const struct mhd_lib *mhd = x->server->mhd;
	const union MHD_ConnectionInfo *info =
		mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	/* The target, which counts among them, has a refusal of its own. */
	if (info && !x->uri_too_long && info->header_size > HEADERS_MAX)
		return err_new(ERR_INVALID, "the headers are larger than %zu bytes", HEADERS_MAX);
	const char *coding = http_header(x, "Transfer-Encoding"), *length = http_header(x, "Content-Length");
	x->content_length = -1;
	if (coding) {
		if (strcasecmp(coding, "chunked") != 0)
			return err_new(ERR_UNSUPPORTED, "transfer encoding '%s' is not offered", coding);
		/* Two lengths are how requests are smuggled past a proxy (RFC 9112, 6.1). */
		if (length)
			return err_new(ERR_INVALID, "both Content-Length and Transfer-Encoding were given");
		x->chunked = true;
	} else if (length && !str_to_i64(str_c(length), &x->content_length)) {
		return err_new(ERR_INVALID, "Content-Length '%s' is not a number", length);
	}
	return NULL;
}

static bool has_body(const struct http_exchange *x)
{
	return x->chunked || x->content_length > 0;
}

static enum MHD_Result send_answer(struct http_exchange *x)
{
	if (!x->answered)
		exchange_fail(x, err_new(ERR_BUG, "%s %s was not answered", x->method, x->path));
	exchange_release(x);
	if (x->failed || x->queued)
		return x->failed ? MHD_NO : MHD_YES;
	x->queued = true;
	return x->server->mhd->MHD_queue_response(x->connection, (unsigned)x->status, x->response);
}

static void answer_too_many(struct http_exchange *x)
{
	http_set_header(x, "Content-Type", "application/json");
	http_set_header(x, "Retry-After", "1");
	http_set_header(x, "Connection", "close");
	http_answer(x, 429,
		STR("{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":"
		    "\"as many connections as there may be are in use: try again later\"}]}\n"));
}

static enum MHD_Result begin(struct http_exchange *x, struct MHD_Connection *connection, const char *method)
{
	struct http_server *s = x->server;
	x->connection = connection;
	x->method = method;
	enum connection_verdict verdict = connection_begins(x->place);
	if (verdict == CONNECTION_CLOSED)
		return MHD_NO;
	x->begun = true;
	pthread_mutex_lock(&s->lock);
	s->active++;
	pthread_mutex_unlock(&s->lock);
	x->entered = true;

	struct err *e = check_framing(x);
	/* Where the body ends cannot be known. */
	bool endless = e != NULL;
	if (!e && x->bad_uri)
		e = err_new(ERR_INVALID, "%s", x->bad_uri);
	if (!e && verdict == CONNECTION_TOO_MANY) {
		answer_too_many(x);
	} else if (!e) {
		x->handled = x->asked = true;
		e = s->handler.begin(s->handler.ctx, x, &x->state);
	}
	if (e)
		exchange_fail(x, e);
	if (x->failed)
		return MHD_NO;
	if (x->uri_too_long && !endless)
		x->status = 414;
	if (endless) {
		x->cut = true;
		return send_answer(x);
	}
	if (!x->answered || !has_body(x))
		return MHD_YES;
	/*
	 * Refused with a body to come. An answer sent now ends the connection, which is right when the peer
	 * waits for it (or did, and sends now: RFC 9110, 10.1.1), or the body is large, or can be; a small
	 * body already on its way is read first.
	 */
	const char *expect = http_header(x, "Expect");
	bool expected = expect && strcasecmp(expect, "100-continue") == 0;
	if (expected || x->chunked || x->content_length > (int64_t)SKIP_MAX) {
		x->cut = true;
		return send_answer(x);
	}
	exchange_release(x);
	return MHD_YES;
}

static enum MHD_Result body(struct http_exchange *x, const char *p, size_t *len)
{
	struct http_server *s = x->server;
	size_t n = *len;
	*len = 0;
	x->received += n;
	/*
	 * The library takes no answer between a body's beginning and its end. So the rest is read, or who
	 * sends a layer that turns out too large would be cut off and not know why.
	 */
	if (x->answered || !s->handler.body) {
		x->skipped += n;
		return x->skipped > SKIP_REST_MAX ? MHD_NO : MHD_YES;
	}
	struct err *e = s->handler.body(s->handler.ctx, x, x->state, p, n);
	if (e)
		exchange_fail(x, e);
	if (x->answered)
		exchange_release(x);
	return x->failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result end(struct http_exchange *x)
{
	struct http_server *s = x->server;
	if (!x->answered) {
		struct err *e = s->handler.end(s->handler.ctx, x, x->state);
		if (e)
			exchange_fail(x, e);
	}
	return send_answer(x);
}

static enum MHD_Result on_access(void *ctx, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *len, void **con_cls)
{
	(void)ctx;
	(void)url;
	(void)version;
	struct http_exchange *x = *con_cls;
	if (!x)
		return MHD_NO;
	if (!x->begun)
		return begin(x, connection, method);
	if (*len)
		return body(x, data, len);
	return end(x);
}

static struct connection *place_of(const struct mhd_lib *mhd, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

/* On the thread that accepts, both. */
static void on_connection(
	void *ctx, struct MHD_Connection *connection, void **place, enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = ((struct http_daemon *)ctx)->server;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		connection_remove(*place);
		return;
	}
	int fd = s->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	*place = connection_add(s->connections, fd,
		s->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
}

/* Called with the request line: gives the exchange, with the target as it was sent. */
static void *on_uri(void *ctx, const char *uri, struct MHD_Connection *connection)
{
	struct http_exchange *x = mem_new(struct http_exchange);
	struct http_daemon *d = ctx;
	x->server = d->server;
	x->daemon = d;
	x->started = clock_monotonic();
	x->connection = connection;
	x->place = place_of(d->server->mhd, connection);
	connection_asks(x->place);
	x->content_length = -1;
	x->uri = mem_strndup(uri, strnlen(uri, URI_MAX + 1));
	x->uri_too_long = strlen(x->uri) > URI_MAX;
	exchange_parse_uri(x);
	if (x->uri_too_long)
		x->bad_uri = "the request target is too long";
	return x;
}

/*
 * Closing a socket with unread bytes resets the connection, and the peer may lose the answer it was sent. So
 * what still comes is read for a moment.
 */
static void linger(struct http_exchange *x)
{
	const union MHD_ConnectionInfo *info =
		x->server->mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!info)
		return;
	int fd = info->connect_fd;
	(void)shutdown(fd, SHUT_WR);
	AUTO_FREE char *waste = mem_alloc(64u << 10);
	uint64_t total = 0;
	for (int64_t stop = clock_monotonic() + LINGER_NS; total < SKIP_MAX && clock_monotonic() < stop;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, 500) <= 0)
			break;
		ssize_t n = recv(fd, waste, 64u << 10, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			break;
		total += n > 0 ? (uint64_t)n : 0;
	}
}

static void tell_done(const struct http_exchange *x, bool complete)
{
	const struct http_handler *h = &x->server->handler;
	if (!h->done || !x->begun)
		return;
	bool bodiless = cstr_eq(x->method, "HEAD") || x->status == 204 || x->status == 304;
	const struct http_outcome how = {
		.status = x->answered && !x->failed ? x->status : 0,
		.received = x->received,
		.sent = bodiless      ? 0
			: x->streamed ? x->streamed
			: complete    ? x->length
				      : 0,
		.duration = clock_monotonic() - x->started,
		.cut = !complete,
		.begun = x->asked,
	};
	h->done(h->ctx, x, &how);
}

static void on_completed(
	void *ctx, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode why)
{
	(void)connection;
	struct http_server *s = ((struct http_daemon *)ctx)->server;
	struct http_exchange *x = *con_cls;
	*con_cls = NULL;
	if (!x)
		return;
	tell_done(x, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	if (x->patient)
		(void)s->mhd->MHD_set_connection_option(
			x->connection, MHD_CONNECTION_OPTION_TIMEOUT, s->idle_timeout_s);
	if (x->cut && why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		linger(x);
	bool entered = x->entered;
	struct connection *place = x->place;
	exchange_free(x);
	connection_waits(place);
	if (!entered)
		return;
	pthread_mutex_lock(&s->lock);
	if (--s->active == 0)
		pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

/* Paths and queries are decoded here, where malformed escapes are refused. */
static size_t keep_escapes(void *ctx, struct MHD_Connection *connection, char *s)
{
	(void)ctx;
	(void)connection;
	return strlen(s);
}

static void PRINTF(2, 0) on_log(void *ctx, const char *fmt, va_list ap)
{
	(void)ctx;
	AUTO_FREE char *text = mem_vprintf(fmt, ap);
	struct str line = str_trim(str_c(text));
	log_debug("http: " STR_FMT, STR_ARG(line));
}

/* ---- starting and stopping ---- */

static void daemon_free(struct http_daemon *d)
{
	if (!d)
		return;
	if (d->mhd)
		d->server->mhd->MHD_stop_daemon(d->mhd);
	fd_closep(&d->fd);
	buf_fini(&d->cert);
	if (d->key.ptr)
		explicit_bzero(d->key.ptr, d->key.cap);
	buf_fini(&d->key);
	mem_freep(&d);
}

static struct err *read_tls(struct http_daemon *d)
{
	struct http_server *s = d->server;
	if (!s->tls.cert)
		return NULL;
	if (s->mhd->MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return err_new(ERR_UNSUPPORTED, "this libmicrohttpd was built without TLS");
	return tls_files_read(&s->tls, &d->cert, &d->key);
}

static struct err *run_daemon(struct http_daemon *d)
{
	struct http_server *s = d->server;
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
			 MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem more[4] = {{MHD_OPTION_END, 0, NULL}};
	if (s->tls.cert) {
		flags |= MHD_USE_TLS;
		more[0] = (struct MHD_OptionItem){
			MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)buf_cstr(&d->cert)};
		more[1] = (struct MHD_OptionItem){
			MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)buf_cstr(&d->key)};
		more[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	}
	d->mhd = s->mhd->MHD_start_daemon(flags, 0, NULL, NULL, on_access, d, //
		MHD_OPTION_LISTEN_SOCKET, d->fd,                              //
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,                     //
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, d,                       //
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, d,                 //
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, d,               //
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,             //
		MHD_OPTION_CONNECTION_LIMIT, s->max_connections + RESERVE,    //
		MHD_OPTION_CONNECTION_TIMEOUT, s->idle_timeout_s,             //
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,        //
		MHD_OPTION_ARRAY, more, MHD_OPTION_END);
	if (d->mhd)
		return NULL;
	struct err *e = err_new(ERR_IO, "starting to serve on %s", s->listen);
	return s->tls.cert ? err_hint(e, "check that %s and %s are a PEM certificate and its key",
				     s->tls.cert, s->tls.key)
			   : e;
}

static struct err *start_daemon(struct http_server *s, struct http_daemon **out)
{
	struct http_daemon *d = mem_new(struct http_daemon);
	d->server = s;
	d->fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
	struct err *e = d->fd < 0 ? err_sys(errno, "serving on %s", s->listen) : read_tls(d);
	if (!e)
		e = run_daemon(d);
	if (e)
		daemon_free(d);
	else
		*out = d;
	return e;
}

static void server_free(struct http_server *s)
{
	connections_free(s->connections);
	tls_files_fini(&s->tls);
	mem_freep(&s->listen);
	fd_closep(&s->fd);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	mem_freep(&s);
}

static struct err *start_watch(struct http_server *s, const struct http_server_options *opt)
{
	unsigned per_address = opt->max_per_address ? opt->max_per_address : (s->max_connections + 1) / 2;
	const struct connections_options how = {
		.most = s->max_connections,
		.per_address = per_address,
		.loopback_exempt = !opt->max_per_address,
		.headers = (opt->header_timeout_s ? opt->header_timeout_s : 30) * CLOCK_SECOND,
		.idle = s->idle_timeout_s * CLOCK_SECOND,
	};
	return connections_new(&how, &s->connections);
}

struct err *http_server_start(
	const struct http_server_options *opt, const struct http_handler *handler, struct http_server **out)
{
	const struct mhd_lib *mhd;
	TRY(mhd_lib_get(&mhd));
	struct http_server *s = mem_new(struct http_server);
	s->mhd = mhd;
	s->handler = *handler;
	s->fd = -1;
	s->listen = mem_strdup(opt->listen);
	s->max_connections = opt->max_connections ? opt->max_connections : CONNECTIONS_DEFAULT;
	s->idle_timeout_s = opt->idle_timeout_s ? opt->idle_timeout_s : 120;
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->idle);

	struct err *e = start_watch(s, opt);
	if (!e)
		e = tls_files_init(&s->tls, opt->tls_cert, opt->tls_key);
	if (!e)
		e = listen_open(opt->listen, &s->fd, &s->port);
	if (!e)
		e = start_daemon(s, &s->daemon);
	if (e) {
		server_free(s);
		return e;
	}
	*out = s;
	return NULL;
}

/* No more connections for d; those that it has stay. */
static void retire(struct http_server *s, struct http_daemon *d)
{
	atomic_store(&d->retired, true);
	(void)s->mhd->MHD_quiesce_daemon(d->mhd);
	d->next = s->retired;
	s->retired = d;
}

static void free_idle_daemons(struct http_server *s)
{
	for (struct http_daemon **at = &s->retired; *at;) {
		struct http_daemon *d = *at;
		const union MHD_DaemonInfo *info =
			s->mhd->MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (!info || info->num_connections) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		daemon_free(d);
	}
}

struct err *http_server_renew(struct http_server *s, bool now, bool *renewed)
{
	struct http_daemon *fresh = NULL;
	*renewed = false;
	free_idle_daemons(s);
	if (!tls_files_changed(&s->tls, now))
		return NULL;
	/* Both accept for a moment: no connection is refused. */
	struct err *e = start_daemon(s, &fresh);
	if (e)
		return err_wrap(e, "the TLS certificate has changed; the one before stays in use");
	retire(s, s->daemon);
	s->daemon = fresh;
	*renewed = true;
	return NULL;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

void http_server_stop(struct http_server *s, int64_t grace)
{
	if (!s)
		return;
	atomic_store(&s->stopping, true);
	retire(s, s->daemon);
	for (struct http_daemon *d = s->retired; d; d = d->next)
		fd_closep(&d->fd);
	fd_closep(&s->fd);
	int64_t until = clock_monotonic() + grace;
	pthread_mutex_lock(&s->lock);
	while (s->active && grace > 0 && clock_monotonic() < until)
		clock_cond_wait(&s->idle, &s->lock, until);
	pthread_mutex_unlock(&s->lock);
	while (s->retired) {
		struct http_daemon *d = s->retired;
		s->retired = d->next;
		daemon_free(d);
	}
	server_free(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The client against the server of the same folder, and against peers that break the protocol. */
#include "base/cancel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/server.h"
#include "sys/file.h"
#include "sys/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void ok(struct err *e)
{
	if (!e)
		return;
	char *text = err_text(e);
	fail_msg("%s", text);
}

static void refused(struct err *e, enum err_kind kind, const char *part)
{
	AUTO(err_freep) struct err *mine = e;
	AUTO_FREE char *text = err_text(mine);
	if (err_kind(mine) != kind || !strstr(text, part))
		fail_msg("%s: '%s' lacks '%s'", err_kind_name(err_kind(mine)), text, part);
}

/* ---- server ---- */

#define LARGE (3 << 20)

static struct http_server *server, *other;
static char *base, *other_base;

static struct err *t_begin(void *ctx, struct http_exchange *x, void **state)
{
	(void)ctx;
	*state = mem_new(struct buf);
	if (cstr_eq(http_path(x), "/early"))
		http_answer(x, 403, STR("no"));
	return NULL;
}

static struct err *t_body(void *ctx, struct http_exchange *x, void *state, const void *p, size_t len)
{
	(void)ctx;
	(void)x;
	buf_add(state, p, len);
	return NULL;
}

static struct err *endless(void *ctx, void *p, size_t *len)
{
	(void)ctx;
	memset(p, 'x', *len);
	return NULL;
}

/* LARGE bytes */
static struct err *large(void *ctx, void *p, size_t *len)
{
	int *sent = ctx, left = LARGE - *sent;
	*len = *len < (size_t)left ? *len : (size_t)left;
	memset(p, 'x', *len);
	*sent += (int)*len;
	return NULL;
}

static struct err *stalled(void *ctx, void *p, size_t *len)
{
	int *count = ctx;
	if ((*count)++ == 0) {
		memcpy(p, "x", 1);
		*len = 1;
		return NULL;
	}
	usleep(3000000);
	*len = 0;
	return NULL;
}

static struct err *t_end(void *ctx, struct http_exchange *x, void *state)
{
	(void)ctx;
	const char *path = http_path(x);
	const char *auth = http_header(x, "Authorization");
	AUTO_BUF struct buf out = {0};
	if (cstr_eq(path, "/echo")) {
		http_set_header(x, "X-Two", "first");
		http_set_header(x, "X-Two", "second");
		http_answer(x, 200, buf_str(state));
	} else if (cstr_eq(path, "/loop")) {
		http_set_header(x, "Location", "/loop");
		http_answer(x, 302, STR(""));
	} else if (cstr_eq(path, "/to")) {
		http_set_header(x, "Location", http_query(x, "url"));
		http_answer(x, atoi(http_query(x, "status")), STR("moved"));
	} else if (cstr_eq(path, "/endless")) {
		http_answer_stream(x, 200, endless, NULL, NULL);
	} else if (cstr_eq(path, "/large")) {
		http_answer_stream(x, 200, large, free, calloc(1, sizeof(int)));
	} else if (cstr_eq(path, "/endless-error")) {
		http_answer_stream(x, 500, endless, NULL, NULL);
	} else if (cstr_eq(path, "/stall")) {
		http_answer_stream(x, 200, stalled, free, calloc(1, sizeof(int)));
	} else {
		buf_addf(&out, "%s %s auth=%s len=%lld body=%.20s", http_method(x), path, auth ? auth : "-",
			(long long)http_content_length(x), buf_cstr(state));
		http_answer(x, cstr_starts(path, "/missing") ? 404 : 200, buf_str(&out));
	}
	return NULL;
}

static void t_free(void *ctx, void *state)
{
	(void)ctx;
	buf_fini(state);
	free(state);
}

static const struct http_handler handler = {
	.begin = t_begin, .body = t_body, .end = t_end, .free_state = t_free};

static struct http_client *client;
static char dir[] = "/tmp/cooper-tls-XXXXXX";
static char *cert, *key;

static void make_certificate(void)
{
	assert_non_null(mkdtemp(dir));
	cert = mem_printf("%s/cert.pem", dir);
	key = mem_printf("%s/key.pem", dir);
	const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
		"subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert, NULL};
	AUTO_BUF struct buf out = {0};
	ok(process_run(&(struct process_request){.argv = argv}, &out, NULL));
}

static void remove_certificate(void)
{
	ok(tree_remove(AT_FDCWD, dir));
	mem_freep(&cert);
	mem_freep(&key);
}

static int start(bool tls)
{
	const struct http_server_options opt = {
		.listen = "127.0.0.1:0", .tls_cert = tls ? cert : NULL, .tls_key = tls ? key : NULL};
	ok(http_server_start(&opt, &handler, &server));
	ok(http_server_start(&opt, &handler, &other));
	const struct http_client_options how = {.stall_timeout = CLOCK_SECOND, .ca_file = tls ? cert : NULL};
	ok(http_client_new(&how, &client));
	const char *scheme = tls ? "https" : "http";
	base = mem_printf("%s://127.0.0.1:%u", scheme, http_server_port(server));
	other_base = mem_printf("%s://127.0.0.1:%u", scheme, http_server_port(other));
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return start(false);
}

/* What goes over TLS is driven by another thread. */
static int setup_tls(void **state)
{
	(void)state;
	return start(true);
}

static int teardown(void **state)
{
	(void)state;
	http_client_free(client);
	http_server_stop(server, 0);
	http_server_stop(other, 0);
	mem_freep(&base);
	mem_freep(&other_base);
	return 0;
}

static struct err *get(const char *url, struct http_request rq, struct http_response *r)
{
	rq.url = url;
	if (!rq.method)
		rq.method = "GET";
	return http_send(client, &rq, r);
}

static void body_is(const struct http_response *r, const char *want)
{
	assert_string_equal(buf_cstr(&r->body), want);
}

/* ---- plain requests ---- */

static void test_methods(void **state)
{
	(void)state;
	const struct {
		const char *method, *body, *want;
	} cases[] = {
		{"GET", NULL, "GET /x auth=- len=-1 body="},
		{"DELETE", NULL, "DELETE /x auth=- len=-1 body="},
		{"POST", "", "POST /x auth=- len=0 body="},
		{"PUT", "hello", "PUT /x auth=- len=5 body=hello"},
		{"PATCH", "hello", "PATCH /x auth=- len=5 body=hello"},
		{"HEAD", NULL, ""},
	};
	AUTO_FREE char *url = mem_printf("%s/x", base);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(http_response_fini) struct http_response r = {0};
		ok(get(url, (struct http_request){.method = cases[i].method, .body = str_c(cases[i].body)},
			&r));
		assert_int_equal(r.status, 200);
		body_is(&r, cases[i].want);
		assert_string_equal(r.final_url, url);
	}
}

struct source {
	uint64_t left, size;
	unsigned rewinds;
};

static struct err *source_read(void *ctx, void *p, size_t *len)
{
	struct source *s = ctx;
	*len = s->left < *len ? (size_t)s->left : *len;
	memset(p, 'b', *len);
	s->left -= *len;
	return NULL;
}

static struct err *source_rewind(void *ctx)
{
	struct source *s = ctx;
	s->left = s->size;
	s->rewinds++;
	return NULL;
}

static struct err *sink(void *ctx, const void *p, size_t len)
{
	(void)p;
	*(uint64_t *)ctx += len;
	return *(uint64_t *)ctx > (50u << 20) ? err_new(ERR_NO_SPACE, "the sink is full") : NULL;
}

static void test_streams(void **state)
{
	(void)state;
	AUTO_FREE char *url = mem_printf("%s/echo", base);
	for (unsigned i = 0; i < 4; i++) {
		const bool chunked = i & 1;
		const uint64_t size = i & 2 ? 200 << 10 : 5 << 20;
		struct source s = {.left = size, .size = size};
		uint64_t got = 0;
		AUTO(http_response_fini) struct http_response r = {0};
		ok(get(url,
			(struct http_request){.method = "PUT",
				.read_body = source_read,
				.body_ctx = &s,
				.body_size = chunked ? -1 : (int64_t)size,
				.write_body = sink,
				.write_ctx = &got},
			&r));
		assert_int_equal(got, size);
		assert_string_equal(http_response_header(&r, "x-two", 0), "first");
		assert_string_equal(http_response_header(&r, "X-TWO", 1), "second");
		assert_null(http_response_header(&r, "X-Two", 2));
	}
}

static void test_limits(void **state)
{
	(void)state;
	AUTO_FREE char *endless_url = mem_printf("%s/endless", base);
	AUTO_FREE char *error_url = mem_printf("%s/endless-error", base);
	AUTO_FREE char *missing_url = mem_printf("%s/missing", base);
	AUTO_FREE char *stall_url = mem_printf("%s/stall?token=secret", base);
	AUTO(http_response_fini) struct http_response a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0};
	refused(get(endless_url, (struct http_request){.max_body = 1000}, &a), ERR_INVALID,
		"larger than 1000 bytes");
	uint64_t got = 0;
	refused(get(endless_url, (struct http_request){.write_body = sink, .write_ctx = &got}, &b),
		ERR_NO_SPACE, "the sink is full");
	ok(get(error_url, (struct http_request){.max_body = 1000}, &c));
	assert_int_equal(c.status, 500);
	assert_int_equal(c.body.len, 1000);
	ok(get(error_url, (struct http_request){0}, &f));
	assert_int_equal(f.body.len, 1 << 20);
	got = 0;
	ok(get(missing_url, (struct http_request){.write_body = sink, .write_ctx = &got}, &d));
	assert_int_equal(got, 0);
	assert_true(d.status == 404 && d.body.len > 0);
	struct err *stalled_error = get(stall_url, (struct http_request){0}, &e);
	AUTO_FREE char *text = err_text(stalled_error);
	assert_null(strstr(text, "secret"));
	refused(stalled_error, ERR_TIMEOUT, "nothing was heard for 1 seconds");
}

static void test_refused_upload(void **state)
{
	(void)state;
	AUTO_FREE char *url = mem_printf("%s/early", base);
	struct source s = {.left = 50u << 20, .size = 50u << 20};
	AUTO(http_response_fini) struct http_response r = {0};
	ok(get(url,
		(struct http_request){
			.method = "PUT", .read_body = source_read, .body_ctx = &s, .body_size = 50 << 20},
		&r));
	assert_int_equal(r.status, 403);
	assert_int_equal(s.left, s.size); /* told so before any of the body went out */
}

/* ---- redirects ---- */

static void test_redirects(void **state)
{
	(void)state;
	const char *const headers[] = {"Authorization: Basic c2VjcmV0", NULL};
	AUTO_FREE char *loop = mem_printf("%s/loop", base);
	AUTO_FREE char *same = mem_printf("%s/to?status=307&url=/x", base);
	AUTO_FREE char *away = mem_printf("%s/to?status=307&url=%s/x", base, other_base);
	AUTO_FREE char *see = mem_printf("%s/to?status=303&url=/x", base);
	AUTO_FREE char *evil = mem_printf("%s/to?status=302&url=file:///etc/passwd", base);
	struct http_request rq = {
		.headers = headers, .max_redirects = 3, .method = "PUT", .body = STR("hello")};
	AUTO(http_response_fini) struct http_response a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0};
	refused(get(loop, rq, &a), ERR_INVALID, "more than 3 redirects");
	ok(get(same, rq, &b));
	body_is(&b, "PUT /x auth=Basic c2VjcmV0 len=5 body=hello");
	ok(get(away, rq, &c));
	body_is(&c, "PUT /x auth=- len=5 body=hello");
	assert_true(cstr_starts(c.final_url, other_base));
	ok(get(see, rq, &d));
	body_is(&d, "GET /x auth=Basic c2VjcmV0 len=-1 body=");
	refused(get(evil, rq, &e), ERR_INVALID, "must begin with http");
	rq.max_redirects = 0;
	ok(get(away, rq, &f));
	assert_int_equal(f.status, 307);
}

static void test_redirected_stream(void **state)
{
	(void)state;
	AUTO_FREE char *url = mem_printf("%s/to?status=308&url=/x", base);
	struct source s = {.left = 30, .size = 30};
	AUTO(http_response_fini) struct http_response r = {0}, r2 = {0};
	struct http_request rq = {.method = "PUT",
		.read_body = source_read,
		.body_ctx = &s,
		.body_size = 30,
		.max_redirects = 1,
		.rewind_body = source_rewind};
	ok(get(url, rq, &r));
	assert_int_equal(s.rewinds, 1);
	body_is(&r, "PUT /x auth=- len=30 body=bbbbbbbbbbbbbbbbbbbb");
	rq.rewind_body = NULL;
	s.left = 30;
	refused(get(url, rq, &r2), ERR_UNAVAILABLE, "cannot be sent a second time");
}

/* ---- proxies ---- */

static void test_proxy(void **state)
{
	(void)state;
	AUTO(http_response_fini) struct http_response a = {0}, b = {0}, c = {0};
	AUTO_FREE char *local = mem_printf("%s/x", base);
	unsetenv("http_proxy");
	setenv("HTTP_PROXY", other_base, 1);
	ok(get("http://host.invalid/via", (struct http_request){0}, &a));
	body_is(&a, "GET /via auth=- len=-1 body=");
	setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
	ok(get(local, (struct http_request){0}, &b)); /* loopback never goes through one */
	setenv("NO_PROXY", "host.invalid", 1);
	refused(get("http://host.invalid/via", (struct http_request){0}, &c), ERR_UNAVAILABLE, "resolve");
	unsetenv("HTTP_PROXY");
	unsetenv("NO_PROXY");
}

/* ---- cancel ---- */

static void *cancel_soon(void *arg)
{
	usleep(100000);
	cancel_set(arg);
	return NULL;
}

static struct err *swallow(void *ctx, const void *p, size_t len)
{
	(void)ctx;
	(void)p;
	(void)len;
	return NULL;
}

static void test_cancel(void **state)
{
	(void)state;
	const char *const paths[] = {"/stall", "/endless"};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		AUTO(cancel_freep) struct cancel *cancel = cancel_new();
		AUTO_FREE char *url = mem_printf("%s%s", base, paths[i]);
		AUTO(http_response_fini) struct http_response r = {0};
		pthread_t thread;
		pthread_create(&thread, NULL, cancel_soon, cancel);
		refused(get(url, (struct http_request){.cancel = cancel, .write_body = swallow}, &r),
			ERR_CANCELED, "");
		pthread_join(thread, NULL);
	}
}

/* ---- peers that answer with exactly the given bytes ---- */

struct peer {
	int fd;
	const char *answer;
	pthread_t thread;
	char *url;
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	AUTO_FD int fd = accept(p->fd, NULL, NULL);
	char waste[4096];
	if (recv(fd, waste, sizeof(waste), 0) > 0)
		(void)!send(fd, p->answer, strlen(p->answer), MSG_NOSIGNAL);
	return NULL;
}

static void peer_start(struct peer *p, const char *answer)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	p->answer = answer;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(p->fd, 5), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&at, &len), 0);
	p->url = mem_printf("http://127.0.0.1:%u/x", ntohs(at.sin_port));
	pthread_create(&p->thread, NULL, peer_main, p);
}

static void peer_stop(struct peer *p)
{
	shutdown(p->fd, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->fd);
	mem_freep(&p->url);
}

static void test_broken_peers(void **state)
{
	(void)state;
	const struct {
		const char *answer;
		enum err_kind kind;
		const char *part;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", ERR_UNAVAILABLE,
			"GET http://127.0.0.1:"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", ERR_UNAVAILABLE, ""},
		{"", ERR_UNAVAILABLE, "mpty reply"},
		{"garbage\r\n\r\n", ERR_INVALID, "HTTP/0.9"},
		{"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", ERR_UNAVAILABLE, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p;
		peer_start(&p, cases[i].answer);
		AUTO(http_response_fini) struct http_response r = {0};
		refused(get(p.url, (struct http_request){0}, &r), cases[i].kind, cases[i].part);
		peer_stop(&p);
	}
	struct peer p;
	peer_start(&p, "");
	char *url = mem_strdup(p.url);
	peer_stop(&p);
	AUTO(http_response_fini) struct http_response r = {0}, r2 = {0}, r3 = {0};
	refused(get(url, (struct http_request){0}, &r), ERR_UNAVAILABLE, "onnect");
	refused(get("http://no-such-host.invalid/", (struct http_request){0}, &r2), ERR_UNAVAILABLE,
		"invalid");
	refused(get("ftp://127.0.0.1/", (struct http_request){0}, &r3), ERR_INVALID, "must begin with http");
	mem_freep(&url);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
	(void)state;
	struct http_server *tls = NULL;
	const struct http_server_options opt = {.listen = "127.0.0.1:0", .tls_cert = cert, .tls_key = key};
	ok(http_server_start(&opt, &handler, &tls));
	AUTO_FREE char *url = mem_printf("https://127.0.0.1:%u/x", http_server_port(tls));
	AUTO(http_response_fini) struct http_response a = {0}, b = {0}, c = {0}, d = {0}, again = {0};
	refused(get(url, (struct http_request){0}, &a), ERR_INVALID, "certificate");
	ok(get(url, (struct http_request){.trust = {.insecure = true}}, &b));
	ok(get(url, (struct http_request){.trust = {.ca_file = cert}}, &c));
	body_is(&c, "GET /x auth=- len=-1 body=");
	/* The connections of those are open, and not for others. */
	refused(get(url, (struct http_request){0}, &again), ERR_INVALID, "certificate");
	refused(get(url, (struct http_request){.trust = {.ca_file = "/nonexistent/ca"}}, &d), ERR_NOT_FOUND,
		"/nonexistent/ca");
	http_server_stop(tls, 0);
}

/* ---- many at once ---- */

#define MANY 24

static struct err *slow_sink(void *ctx, const void *p, size_t len)
{
	(void)p;
	*(uint64_t *)ctx += len;
	usleep(2000);
	return NULL;
}

/* Each fourth gives up, each third of the others is slow to take its answer. Odd ones send a body. */
static void *one_of_many(void *arg)
{
	size_t i = *(size_t *)arg;
	const bool gives_up = i % 4 == 3, sends = i % 2;
	AUTO_FREE char *url = mem_printf("%s/%s", base, gives_up ? "endless" : sends ? "echo" : "large");
	for (int round = 0; round < 4; round++) {
		struct source s = {.left = LARGE, .size = LARGE};
		uint64_t got = 0;
		AUTO(http_response_fini) struct http_response r = {0};
		struct http_request rq = {
			.write_body = i % 3 || gives_up ? sink : slow_sink, .write_ctx = &got};
		if (sends && round % 2 == 0) {
			rq.method = "PUT";
			rq.read_body = source_read;
			rq.rewind_body = source_rewind;
			rq.body_ctx = &s;
			rq.body_size = LARGE;
		}
		struct err *e = get(url, rq, &r);
		if (gives_up) {
			refused(e, ERR_NO_SPACE, "the sink is full");
			continue;
		}
		ok(e);
		assert_int_equal(got, sends && round % 2 ? 0 : LARGE);
	}
	return NULL;
}

static void test_many(void **state)
{
	(void)state;
	pthread_t threads[MANY];
	size_t numbers[MANY];
	struct http_client *usual = client;
	/* One that waits as long as slow machines and sanitizers need. */
	ok(http_client_new(&(struct http_client_options){.ca_file = cert}, &client));
	for (size_t i = 0; i < MANY; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, &numbers[i]), 0);
	}
	for (size_t i = 0; i < MANY; i++)
		pthread_join(threads[i], NULL);
	http_client_free(client);
	client = usual;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_refused_upload),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_redirected_stream),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_broken_peers),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_many),
	};
	const struct CMUnitTest over_tls[] = {
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_refused_upload),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_redirected_stream),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_many),
	};
	make_certificate();
	int failed = cmocka_run_group_tests_name("plain", tests, setup, teardown);
	failed += cmocka_run_group_tests_name("over TLS", over_tls, setup_tls, teardown);
	remove_certificate();
	return failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "http/server.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <errno.h>
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

/* ---- a handler with one path for each way to answer ---- */

struct request {
	struct buf body;
	uint64_t size;
};

static int live_states;

static struct err *t_begin(void *ctx, struct http_exchange *x, void **state)
{
	(void)ctx;
	__atomic_add_fetch(&live_states, 1, __ATOMIC_SEQ_CST);
	*state = mem_new(struct request);
	if (cstr_eq(http_path(x), "/deny")) {
		http_set_header(x, "WWW-Authenticate", "Basic realm=\"t\"");
		http_answer(x, 401, STR("denied"));
	} else if (cstr_eq(http_path(x), "/error")) {
		return err_new(ERR_NOT_FOUND, "no \"such\" thing");
	}
	return NULL;
}

static struct err *t_body(void *ctx, struct http_exchange *x, void *state, const void *p, size_t len)
{
	(void)ctx;
	struct request *r = state;
	r->size += len;
	if (cstr_eq(http_path(x), "/full") && r->size > 10)
		return err_new(ERR_NO_SPACE, "the disk is full");
	if (r->size <= 1 << 20)
		buf_add(&r->body, p, len);
	return NULL;
}

struct ticks {
	bool pause;
	bool flood; /* whole blocks without end: what lies on the way is full at once */
	int left;
};

static struct err *t_next(void *ctx, void *p, size_t *len)
{
	struct ticks *t = ctx;
	if (t->flood) {
		memset(p, 'x', *len);
		return NULL;
	}
	if (t->pause && t->left < 2)
		usleep(2200000);
	char text[32];
	if (t->left-- == 0) {
		*len = 0;
		return NULL;
	}
	size_t n = (size_t)snprintf(text, sizeof(text), "tick %d\n", t->left);
	*len = n < *len ? n : *len;
	memcpy(p, text, *len);
	return NULL;
}

static void t_done(void *ctx)
{
	free(ctx);
}

static int file_of(size_t size)
{
	char name[] = "/tmp/cooper-http-XXXXXX";
	int fd = mkstemp(name);
	assert_true(fd >= 0);
	unlink(name);
	AUTO_FREE char *block = mem_alloc(1 << 20);
	for (size_t i = 0; i < 1 << 20; i++)
		block[i] = (char)('a' + i % 26);
	for (size_t left = size; left;) {
		size_t n = left < 1 << 20 ? left : 1 << 20;
		assert_int_equal(write(fd, block, n), n);
		left -= n;
	}
	return fd;
}

static struct err *t_end(void *ctx, struct http_exchange *x, void *state)
{
	(void)ctx;
	struct request *r = state;
	const char *path = http_path(x);
	if (cstr_eq(path, "/echo")) {
		http_answer(x, 200, buf_str(&r->body));
	} else if (cstr_eq(path, "/file")) {
		http_set_header(x, "Content-Type", "text/plain\r\nEvil: yes");
		http_answer_file(x, 200, file_of(100), 1, 50);
	} else if (cstr_eq(path, "/big")) {
		http_answer_file(x, 200, file_of(64u << 20), 0, 64u << 20);
	} else if (cstr_eq(path, "/head")) {
		http_answer_head(x, 200, 12345);
	} else if (cstr_eq(path, "/stream")) {
		struct ticks *t = calloc(1, sizeof(*t));
		t->left = 3;
		http_answer_stream(x, 200, t_next, t_done, t);
	} else if (cstr_eq(path, "/silent")) {
		struct ticks *t = calloc(1, sizeof(*t));
		t->left = 2;
		t->pause = true;
		http_answer_stream(x, 200, t_next, t_done, t);
	} else if (cstr_eq(path, "/silent-sized")) {
		struct ticks *t = calloc(1, sizeof(*t));
		t->left = 2;
		t->pause = true;
		usleep(2200000);
		http_restart_idle(x);
		http_answer_stream_sized(x, 200, 2 * strlen("tick 0\n"), t_next, t_done, t);
	} else if (cstr_eq(path, "/short-sized")) {
		struct ticks *t = calloc(1, sizeof(*t));
		t->left = 2;
		http_answer_stream_sized(x, 200, 1000, t_next, t_done, t);
	} else if (cstr_eq(path, "/endless-sized")) {
		struct ticks *t = calloc(1, sizeof(*t));
		t->flood = true;
		http_answer_stream_sized(x, 200, UINT64_C(1) << 40, t_next, t_done, t);
	} else if (cstr_eq(path, "/slow")) {
		usleep(300000);
		http_answer(x, 200, STR("slow"));
	} else if (cstr_eq(path, "/nothing")) {
		return NULL;
	} else {
		AUTO_BUF struct buf out = {0};
		buf_addf(&out, "%s %s q=%s q1=%s accept=%s len=%lld peer=%s size=%llu", http_method(x), path,
			http_query(x, "q") ? http_query(x, "q") : "-",
			http_query_at(x, "q", 1) ? http_query_at(x, "q", 1) : "-",
			http_header(x, "accept") ? http_header(x, "accept") : "-",
			(long long)http_content_length(x), http_peer(x), (unsigned long long)r->size);
		http_answer(x, 200, buf_str(&out));
	}
	return NULL;
}

static void t_free(void *ctx, void *state)
{
	(void)ctx;
	struct request *r = state;
	buf_fini(&r->body);
	mem_freep(&r);
	__atomic_sub_fetch(&live_states, 1, __ATOMIC_SEQ_CST);
}

static const struct http_handler handler = {
	.begin = t_begin, .body = t_body, .end = t_end, .free_state = t_free};

static void ok(struct err *e)
{
	if (!e)
		return;
	char *text = err_text(e);
	fail_msg("%s", text);
}

static struct http_server *server;

static int setup(void **state)
{
	(void)state;
	const struct http_server_options opt = {.listen = "127.0.0.1:0"};
	ok(http_server_start(&opt, &handler, &server));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_server_stop(server, CLOCK_SECOND);
	assert_int_equal(live_states, 0);
	return 0;
}

/* ---- a peer that says exactly the given bytes ---- */

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(http_server_port(server)),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	struct timeval limit = {.tv_sec = 10};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read until the text contains want, or the end. */
static const char *hear(int fd, struct buf *in, const char *want)
{
	char part[4096];
	while (!want || !in->len || !strstr(in->ptr, want)) {
		ssize_t n = recv(fd, part, sizeof(part), 0);
		if (n <= 0)
			break;
		buf_add(in, part, (size_t)n);
	}
	return buf_cstr(in);
}

static void exchange(const char *request, const char *want)
{
	AUTO_FD int fd = dial();
	AUTO_BUF struct buf in = {0};
	say(fd, request);
	const char *got = hear(fd, &in, want);
	if (!strstr(got, want))
		fail_msg("%s\n-- has no: %s\n-- but: %s", request, want, got);
}

#define END " HTTP/1.1\r\nHost: t\r\n\r\n"

static void test_request(void **state)
{
	(void)state;
	exchange("GET /a%2Fb%20c?q=x%26y+z&q=&other=1" END,
		"GET /a/b c q=x&y z q1= accept=- len=-1 peer=127.0.0.1 size=0");
	exchange("GET http://somewhere/x?q=1" END, "GET /x q=1");
	exchange("GET /x HTTP/1.1\r\nHost: t\r\nAccept: a/b\r\nACCEPT: c/d\r\n\r\n", "accept=a/b, c/d ");
	exchange("PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
		"len=5 peer=127.0.0.1 size=5");
	exchange("PATCH /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		"PATCH /x q=- q1=- accept=- len=-1 peer=127.0.0.1 size=5");
	exchange("PUT /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		"abcde");
	exchange("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", "len=0 peer");
}

static void test_malformed(void **state)
{
	(void)state;
	const char *const bad[] = {
		"GET /a%00b" END,
		"GET /a%2" END,
		"GET /a%zz" END,
		"GET /x?q=%" END,
		"GET x" END,
		"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: "
		"chunked\r\n\r\n0\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: -5\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		exchange(bad[i], "HTTP/1.1 400");
	/* Answered at once, for where such a body ends is not known. */
	exchange("GET /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", "'gzip' is not offered");
	exchange("PUT /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, "
		 "chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
		"'gzip, chunked' is not offered");
	AUTO_BUF struct buf big = {0}, far = {0};
	buf_adds(&far, "GET /");
	for (size_t i = 0; i < 17000; i++)
		buf_addc(&far, 'a');
	buf_adds(&far, END);
	exchange(buf_cstr(&far), "HTTP/1.1 414");
	buf_adds(&big, "GET /x HTTP/1.1\r\nHost: t\r\nX: ");
	for (size_t i = 0; i < 80000; i++)
		buf_addc(&big, 'a');
	buf_adds(&big, "\r\n\r\n");
	exchange(buf_cstr(&big), "the headers are larger");
}

static void test_answers(void **state)
{
	(void)state;
	exchange("GET /file" END, "Content-Length: 50\r\n\r\nbcdefghijkl");
	exchange("GET /file" END, "Content-Type: text/plain  Evil: yes\r\n");
	exchange("HEAD /head" END, "Content-Length: 12345\r\n");
	exchange("GET /stream" END, "tick 2\n");
	exchange("GET /nothing" END, "HTTP/1.1 500");
	exchange("GET /error" END,
		"{\"errors\":[{\"code\":\"NOT_FOUND\",\"message\":\"no \\\"such\\\" thing\"}]}");
	exchange("PUT /full HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n01234567890123456789",
		"HTTP/1.1 507");
}

/* HEAD of a file has its length and no bytes: the next answer follows at once. */
static void test_keep_alive(void **state)
{
	(void)state;
	AUTO_FD int fd = dial();
	AUTO_BUF struct buf in = {0};
	say(fd, "HEAD /file" END);
	hear(fd, &in, "\r\n\r\n");
	assert_non_null(strstr(in.ptr, "Content-Length: 50\r\n"));
	buf_clear(&in);
	/* Refused in begin, with a small body on its way, without Expect: the connection goes on. */
	say(fd, "PUT /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
	hear(fd, &in, "\r\n\r\ndenied");
	assert_true(cstr_starts(in.ptr, "HTTP/1.1 401"));
	buf_clear(&in);
	say(fd, "PUT /full HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
		"chunked\r\n\r\n14\r\n01234567890123456789\r\n0\r\n\r\n");
	hear(fd, &in, "disk is full");
	buf_clear(&in);
	say(fd, "GET /deny" END);
	hear(fd, &in, "\r\n\r\ndenied");
	assert_true(cstr_starts(in.ptr, "HTTP/1.1 401"));
	buf_clear(&in);
	say(fd, "GET /x?q=last" END);
	assert_non_null(strstr(hear(fd, &in, "q=last"), "q=last"));
}

static void test_expect(void **state)
{
	(void)state;
	AUTO_FD int fd = dial();
	AUTO_BUF struct buf in = {0};
	say(fd, "PUT /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
	hear(fd, &in, NULL);
	assert_true(cstr_starts(in.ptr, "HTTP/1.1 401"));
	assert_null(strstr(in.ptr, "100 Continue"));

	AUTO_FD int second = dial();
	buf_clear(&in);
	say(second, "PUT /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	hear(second, &in, "\r\n\r\n");
	assert_true(cstr_starts(in.ptr, "HTTP/1.1 100"));
	say(second, "hello");
	assert_non_null(strstr(hear(second, &in, "hello"), "hello"));
}

/* A large body that was not wanted: the answer arrives although the peer goes on sending. */
static void test_refused_large(void **state)
{
	(void)state;
	AUTO_FD int fd = dial();
	AUTO_BUF struct buf in = {0};
	say(fd, "PUT /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999\r\n\r\n");
	AUTO_FREE char *block = mem_zalloc(1 << 20);
	for (int i = 0; i < 20; i++)
		if (send(fd, block, 1 << 20, MSG_NOSIGNAL) < 0)
			break;
	hear(fd, &in, "denied");
	assert_true(in.len && cstr_starts(in.ptr, "HTTP/1.1 401"));
}

static bool say_chunks(int fd, int count)
{
	AUTO_BUF struct buf chunk = {0};
	AUTO_FREE char *block = mem_zalloc(1 << 20);
	buf_adds(&chunk, "100000\r\n");
	buf_add(&chunk, block, 1 << 20);
	buf_adds(&chunk, "\r\n");
	for (int i = 0; i < count; i++)
		if (send(fd, chunk.ptr, chunk.len, MSG_NOSIGNAL) != (ssize_t)chunk.len)
			return false;
	return true;
}

/* One whose length nobody knows: refused by its headers at once, later when all of it has come. */
static void test_refused_large_chunks(void **state)
{
	(void)state;
	AUTO_FD int fd = dial(), late = dial();
	AUTO_BUF struct buf in = {0};
	say(fd, "PUT /deny HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	hear(fd, &in, "denied");
	assert_true(in.len && cstr_starts(in.ptr, "HTTP/1.1 401"));
	say(late, "PUT /full HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_true(say_chunks(late, 80));
	say(late, "0\r\n\r\n");
	buf_clear(&in);
	hear(late, &in, "disk is full");
	assert_true(in.len && cstr_starts(in.ptr, "HTTP/1.1 507"));
	buf_clear(&in);
	say(late, "GET /x?q=next" END);
	assert_non_null(strstr(hear(late, &in, "q=next"), "q=next"));
}

/* The peer goes away in the middle of an upload and of a download: the server lives on. */
static void test_vanishing_peer(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		AUTO_FD int up = dial();
		say(up, "PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\nhello");
		AUTO_FD int down = dial();
		say(down, "GET /big" END);
		char part[100];
		assert_true(recv(down, part, sizeof(part), 0) > 0);
		struct linger now = {.l_onoff = 1};
		setsockopt(down, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	exchange("GET /x?q=alive" END, "q=alive");
}

static void *slow_request(void *arg)
{
	struct buf *in = arg;
	AUTO_FD int fd = dial();
	say(fd, "GET /slow" END);
	hear(fd, in, "slow");
	return NULL;
}

static void test_stop(void **state)
{
	(void)state;
	struct http_server *mine = NULL, *saved = server;
	const struct http_server_options opt = {.listen = "127.0.0.1:0"};
	ok(http_server_start(&opt, &handler, &mine));
	server = mine;
	AUTO_FD int idle = dial();
	AUTO_BUF struct buf in = {0};
	pthread_t thread;
	pthread_create(&thread, NULL, slow_request, &in);
	usleep(100000);
	int64_t start = clock_monotonic();
	http_server_stop(mine, 5 * CLOCK_SECOND);
	assert_true(clock_monotonic() - start < 4 * CLOCK_SECOND);
	pthread_join(thread, NULL);
	server = saved;
	assert_non_null(strstr(buf_cstr(&in), "\r\n\r\nslow"));
}

/* A log that is followed may be silent for longer than a connection may be idle. */
static void test_silent_stream(void **state)
{
	(void)state;
	struct http_server *mine = NULL, *saved = server;
	const struct http_server_options opt = {.listen = "127.0.0.1:0", .idle_timeout_s = 1};
	ok(http_server_start(&opt, &handler, &mine));
	server = mine;
	AUTO_BUF struct buf in = {0};
	AUTO_FD int fd = dial();
	say(fd, "GET /silent" END);
	hear(fd, &in, "\r\n0\r\n\r\n");
	assert_non_null(strstr(buf_cstr(&in), "tick 1\n"));
	assert_non_null(strstr(buf_cstr(&in), "tick 0\n"));
	/* What comes after it on the connection is as before: an idle one is closed. */
	char c;
	assert_int_equal(read(fd, &c, 1), 0);
	http_server_stop(mine, 0);
	server = saved;
}

static void hear_until_closed(int fd, struct buf *in)
{
	char part[4096];
	for (ssize_t n; (n = recv(fd, part, sizeof(part), 0)) > 0;)
		buf_add(in, part, (size_t)n);
}

/* One whose length is told: what the server waits for is not held against the peer, what the peer waits for
 * is.
 */
static void test_sized_stream(void **state)
{
	(void)state;
	struct http_server *mine = NULL, *saved = server;
	const struct http_server_options opt = {.listen = "127.0.0.1:0", .idle_timeout_s = 1};
	ok(http_server_start(&opt, &handler, &mine));
	server = mine;
	AUTO_BUF struct buf in = {0}, cut = {0}, rest = {0};
	AUTO_FD int fd = dial();
	say(fd, "GET /silent-sized" END);
	hear_until_closed(fd, &in);
	assert_non_null(strstr(buf_cstr(&in), "Content-Length: 14\r\n"));
	assert_non_null(strstr(buf_cstr(&in), "\r\n\r\ntick 1\ntick 0\n"));
	AUTO_FD int part = dial();
	say(part, "GET /short-sized" END);
	hear_until_closed(part, &cut);
	assert_non_null(strstr(buf_cstr(&cut), "Content-Length: 1000\r\n"));
	AUTO_FD int idle = dial();
	say(idle, "GET /endless-sized" END);
	usleep(3500000);
	hear_until_closed(idle, &rest);
	http_server_stop(mine, 0);
	server = saved;
}

/* ---- connections that run short ---- */

static struct http_server *start_small(const struct http_server_options *opt)
{
	struct http_server *saved = server;
	ok(http_server_start(opt, &handler, &server));
	return saved;
}

static void stop_small(struct http_server *saved)
{
	http_server_stop(server, 0);
	server = saved;
}

static void ask(int fd)
{
	AUTO_BUF struct buf in = {0};
	say(fd, "GET /x" END);
	if (!strstr(hear(fd, &in, "size=0"), "HTTP/1.1 200"))
		fail_msg("fd %d errno %d: %s", fd, errno, buf_cstr(&in));
}

static bool is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static bool is_open(int fd)
{
	char c;
	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* It is busy from here on: the server has its headers. */
static int send_half(void)
{
	AUTO_BUF struct buf go_on = {0};
	int fd = dial();
	say(fd, "PUT /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	assert_non_null(strstr(hear(fd, &go_on, "100 Continue"), "100 Continue"));
	return fd;
}

static void send_rest(int fd)
{
	AUTO_BUF struct buf in = {0};
	say(fd, "ok");
	assert_non_null(strstr(hear(fd, &in, "\r\n\r\nok"), "HTTP/1.1 200"));
}

/* More connections than there can be: the ones that wait longest give way, a running exchange never. */
static void test_idle_give_way(void **state)
{
	(void)state;
	struct http_server *saved =
		start_small(&(struct http_server_options){.listen = "127.0.0.1:0", .max_connections = 16});
	AUTO_FD int busy = send_half();
	int idle[40];
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		idle[i] = dial();
		if (i % 3 == 0)
			ask(idle[i]);
		else if (i % 3 == 1)
			say(idle[i], "GET /x HTTP/1.1\r\nHos");
	}
	for (size_t i = 0; i < 20; i++) {
		AUTO_FD int fd = dial();
		ask(fd);
	}
	assert_true(is_closed(idle[0]));
	assert_true(is_closed(idle[1]));
	send_rest(busy);
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		close(idle[i]);
	stop_small(saved);
}

/* Bytes alone keep no connection: the headers have to come to an end. */
static void test_slow_headers(void **state)
{
	(void)state;
	struct http_server *saved =
		start_small(&(struct http_server_options){.listen = "127.0.0.1:0", .header_timeout_s = 1});
	AUTO_FD int line = dial(), headers = dial(), silent = dial(), again = dial(), slow_body = dial();
	say(headers, "GET /x HTTP/1.1\r\nHost: t\r\n");
	say(line, "GET /");
	ask(again);
	say(again, "GET /x HTTP/1.1\r\n");
	say(slow_body, "PUT /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n");
	AUTO_FD int patient = dial();
	ask(patient);
	for (int i = 0; i < 20; i++) {
		(void)send(line, "x", 1, MSG_NOSIGNAL);
		(void)send(headers, "X: y\r\n", 6, MSG_NOSIGNAL);
		(void)send(again, "X: y\r\n", 6, MSG_NOSIGNAL);
		if (i < 5)
			say(slow_body, "b");
		usleep(100000);
	}
	assert_true(is_closed(line));
	assert_true(is_closed(headers));
	assert_true(is_closed(again));
	assert_true(is_closed(silent));
	AUTO_BUF struct buf in = {0};
	assert_non_null(strstr(hear(slow_body, &in, "bbbbb"), "HTTP/1.1 200"));
	/* One that waits between two requests has the time that idle ones have. */
	assert_true(is_open(patient));
	ask(patient);
	stop_small(saved);
}

/* The peer has its answer a moment before the server is done with it. */
static void ask_until_free(void)
{
	for (int i = 0; i < 1000; i++) {
		AUTO_FD int fd = dial();
		AUTO_BUF struct buf in = {0};
		say(fd, "GET /x" END);
		if (strstr(hear(fd, &in, "\r\n\r\n"), "HTTP/1.1 200"))
			return;
		usleep(10000);
	}
	fail_msg("no place became free");
}

static void test_all_busy(void **state)
{
	(void)state;
	struct http_server *saved =
		start_small(&(struct http_server_options){.listen = "127.0.0.1:0", .max_connections = 2});
	AUTO_FD int one = send_half(), two = send_half();
	exchange("GET /x" END, "HTTP/1.1 429");
	send_rest(one);
	ask_until_free();
	send_rest(two);
	stop_small(saved);
}

static void test_per_address(void **state)
{
	(void)state;
	struct http_server *saved = start_small(&(struct http_server_options){
		.listen = "127.0.0.1:0", .max_connections = 64, .max_per_address = 3});
	int busy[3];
	for (size_t i = 0; i < ARRAY_LEN(busy); i++)
		busy[i] = send_half();
	exchange("GET /x" END, "HTTP/1.1 429");
	exchange("GET /x" END, "TOOMANYREQUESTS");
	exchange("GET /x" END, "Retry-After: 1\r\n");
	/* Of another address nobody is kept out. */
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(http_server_port(server)),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ask(fd);
	send_rest(busy[0]);
	/* Idle now, it is the one to go. */
	ask_until_free();
	assert_true(is_closed(busy[0]));
	send_rest(busy[1]);
	for (size_t i = 0; i < ARRAY_LEN(busy); i++)
		close(busy[i]);
	stop_small(saved);
}

static void test_start_errors(void **state)
{
	(void)state;
	struct http_server *mine = NULL;
	AUTO_FREE char *used = mem_printf("127.0.0.1:%u", http_server_port(server));
	struct err *e = http_server_start(&(struct http_server_options){.listen = used}, &handler, &mine);
	assert_int_equal(err_kind(e), ERR_EXISTS);
	err_free(e);
	const char *const bad[] = {"5000", "127.0.0.1:", "127.0.0.1:70000", "no-such-host.invalid:80"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = http_server_start(&(struct http_server_options){.listen = bad[i]}, &handler, &mine);
		assert_int_equal(err_kind(e), ERR_INVALID);
		err_free(e);
	}
	e = http_server_start(
		&(struct http_server_options){
			.listen = "127.0.0.1:0", .tls_cert = "/nonexistent", .tls_key = "/none"},
		&handler, &mine);
	assert_int_equal(err_kind(e), ERR_NOT_FOUND);
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_refused_large),
		cmocka_unit_test(test_refused_large_chunks),
		cmocka_unit_test(test_vanishing_peer),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_silent_stream),
		cmocka_unit_test(test_sized_stream),
		cmocka_unit_test(test_idle_give_way),
		cmocka_unit_test(test_slow_headers),
		cmocka_unit_test(test_all_busy),
		cmocka_unit_test(test_per_address),
		cmocka_unit_test(test_start_errors),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The client against nginx over HTTP/2, where transfers share a connection. */
#include "base/mem.h"
#include "http/client.h"
#include "sys/file.h"
#include "sys/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define READERS 4
#define WHOLE ((uint64_t)200 << 20)
/* Until then the slow one is slow. */
#define SLOW ((uint64_t)16 << 20)

static char dir[] = "/tmp/cooper-http2-XXXXXX";
static struct http_client *client;
static char *url;

static void ok(struct err *e)
{
	if (!e)
		return;
	char *text = err_text(e);
	fail_msg("%s", text);
}

static void run(const char *const *argv)
{
	AUTO_BUF struct buf out = {0};
	ok(process_run(&(struct process_request){.argv = argv}, &out, NULL));
}

static unsigned free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static char *in_dir(const char *name)
{
	return mem_printf("%s/%s", dir, name);
}

static void write_settings(const char *path, unsigned port)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	(void)fprintf(f,
		"%s worker_processes 1; pid %s/pid; error_log %s/error.log; events {}\n"
		"http { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path "
		"%s/f;\n"
		"uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
		"server { listen 127.0.0.1:%u ssl http2; ssl_certificate %s/cert; ssl_certificate_key "
		"%s/key; root "
		"%s; } }\n",
		geteuid() ? "" : "user root;", dir, dir, dir, dir, dir, dir, dir, port, dir, dir, dir);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	(void)state;
	unsigned port = free_port();
	assert_non_null(mkdtemp(dir));
	AUTO_FREE char *cert = in_dir("cert"), *key = in_dir("key"), *conf = in_dir("conf"),
		       *log = in_dir("error.log"), *zeros = in_dir("zeros");
	run((const char *const[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
		"subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert, NULL});
	AUTO_FD int fd = open(zeros, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, (off_t)WHOLE), 0);
	write_settings(conf, port);
	/* It goes into the background once it listens. */
	run((const char *const[]){"nginx", "-p", dir, "-e", log, "-c", conf, NULL});
	ok(http_client_new(&(struct http_client_options){.ca_file = cert}, &client));
	url = mem_printf("https://127.0.0.1:%u/zeros", port);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	AUTO_FREE char *conf = in_dir("conf"), *log = in_dir("error.log");
	http_client_free(client);
	run((const char *const[]){"nginx", "-p", dir, "-e", log, "-c", conf, "-s", "stop", NULL});
	mem_freep(&url);
	ok(tree_remove(AT_FDCWD, dir));
	return 0;
}

struct reader {
	bool slow;
	uint64_t got;
	struct err *e;
};

static struct err *take(void *ctx, const void *p, size_t len)
{
	struct reader *r = ctx;
	(void)p;
	r->got += len;
	if (r->slow && r->got < SLOW)
		usleep((useconds_t)(len >> 4)); /* 16 MB a second */
	return NULL;
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	AUTO(http_response_fini) struct http_response answer = {0};
	const struct http_request rq = {.method = "GET", .url = url, .write_body = take, .write_ctx = r};
	r->e = http_send(client, &rq, &answer);
	return NULL;
}

/* libcurl gives up a stream of which 64 MiB wait in its memory. */
static void test_slow_among_fast(void **state)
{
	(void)state;
	pthread_t threads[READERS];
	struct reader readers[READERS] = {{.slow = true}};
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < READERS; i++) {
		ok(readers[i].e);
		assert_int_equal(readers[i].got, WHOLE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_slow_among_fast)};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("HTTP/2", tests, setup, teardown);
}

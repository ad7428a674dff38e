/* SPDX-License-Identifier: Apache-2.0 */
/* The client against cooper's own registry, plain and with TLS. */
#include "base/mem.h"
#include "fixture.h"
#include "registry/registry.h"
#include "sys/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct test_image image;
static struct store *served;
static struct registry *registry;
static const struct transfer_io io;

static int setup(void **state)
{
	(void)state;
	(void)fixture_start();
	image_make(&image, 6);
	served = fixture_store("served");
	ok(registry_new(served, NULL, &registry));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	registry_free(registry);
	store_close(served);
	image_fini(&image);
	fixture_end();
	return 0;
}

static void there_and_back(const char *host, const struct remote_host *settings, const char *stores)
{
	AUTO_FREE char *name_a = mem_printf("%s-a", stores), *name_b = mem_printf("%s-b", stores);
	AUTO(store_closep) struct store *a = fixture_store(name_a), *b = fixture_store(name_b);
	const struct remote_config cfg = {.retries = 1, .hosts = settings, .host_count = settings ? 1 : 0};
	AUTO(remote_freep) struct remote *ra = NULL, *rb = NULL;
	AUTO(reference_fini) struct reference one = {0}, two = {0};
	AUTO_FREE char *text = mem_printf("%s/%s/app:v1", host, stores),
		       *other = mem_printf("%s/%s/other:v1", host, stores);
	AUTO_STRVEC struct strvec tags = {0};
	struct descriptor top = {0};
	bool already = true;
	ok(reference_parse(text, true, &one));
	ok(reference_parse(other, true, &two));
	ok(remote_new(a, &cfg, &ra));
	ok(remote_new(b, &cfg, &rb));
	image_put(a, &image);
	ok(remote_push(ra, &image.descriptor, &one, false, &io, &already));
	assert_false(already);
	ok(remote_push(ra, &image.descriptor, &one, false, &io, &already));
	assert_true(already);
	ok(remote_push(ra, &image.descriptor, &two, false, &io, NULL)); /* by mounts */
	ok(remote_pull(rb, &two, &(struct remote_pull_options){.all_platforms = true}, &io, &top));
	image_check(b, &image);
	ok(remote_tags(rb, &one, &io, &tags));
	assert_int_equal(tags.len, 1);
	mem_freep(&two.tag);
	two.tag = mem_strdup("v9");
	refused(remote_resolve(rb, &two, &io, &top), ERR_NOT_FOUND, "the answer is 404");
}

static void test_plain(void **state)
{
	(void)state;
	struct http_server *s = NULL;
	ok(http_server_start(
		&(struct http_server_options){.listen = "127.0.0.1:0"}, registry_handler(registry), &s));
	AUTO_FREE char *host = mem_printf("127.0.0.1:%u", http_server_port(s));
	there_and_back(host, NULL, "plain");
	http_server_stop(s, 0);
}

/* A loopback host that speaks TLS is found out, and its certificate is checked. */
static void test_tls(void **state)
{
	(void)state;
	AUTO_FREE char *cert = fixture_file("cert.pem", ""), *key = fixture_file("key.pem", "");
	const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
		"subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert, NULL};
	AUTO_BUF struct buf out = {0};
	AUTO(err_freep) struct err *e = process_run(&(struct process_request){.argv = argv}, &out, NULL);
	if (err_kind(e) == ERR_NOT_FOUND)
		skip();
	assert_null(e);
	struct http_server *s = NULL;
	const struct http_server_options opt = {.listen = "127.0.0.1:0", .tls_cert = cert, .tls_key = key};
	ok(http_server_start(&opt, registry_handler(registry), &s));
	AUTO_FREE char *host = mem_printf("127.0.0.1:%u", http_server_port(s));

	AUTO(store_closep) struct store *a = fixture_store("tls-none");
	AUTO(remote_freep) struct remote *r = NULL;
	AUTO(reference_fini) struct reference ref = {0};
	AUTO_FREE char *text = mem_printf("%s/tls/app:v1", host);
	struct descriptor d = {0};
	ok(reference_parse(text, true, &ref));
	ok(remote_new(a, NULL, &r));
	refused(remote_resolve(r, &ref, &io, &d), ERR_INVALID, "/etc/containers/certs.d/127.0.0.1:");

	const struct remote_host by_setting = {.host = host, .ca_file = cert},
				 unchecked = {.host = host, .insecure = true};
	there_and_back(host, &by_setting, "ca");
	there_and_back(host, &unchecked, "insecure");
	AUTO_FREE char *folder = mem_printf("%s/.config/containers/certs.d/%s", getenv("HOME"), host);
	const char *const copy[] = {"install", "-D", cert, NULL, NULL};
	AUTO_FREE char *to = mem_printf("%s/our-own.crt", folder);
	const char *argv2[ARRAY_LEN(copy)];
	memcpy(argv2, copy, sizeof(copy));
	argv2[3] = to;
	ok(process_run(&(struct process_request){.argv = argv2}, &out, NULL));
	there_and_back(host, NULL, "folder");
	http_server_stop(s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_tls),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

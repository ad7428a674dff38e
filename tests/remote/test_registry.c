/* SPDX-License-Identifier: Apache-2.0 */
/* Against the distribution registry of Debian (package docker-registry); skipped where that is not installed.
 */
#include "base/mem.h"
#include "fixture.h"
#include "oci/images.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAM "/usr/bin/docker-registry"
#define PASSWORD "s3cret:pw"
/* bcrypt of PASSWORD, by libxcrypt. */
#define HTPASSWD "dev:$2b$05$SPHOtDjYyhcHrol/nWjXQe1WlDfMn7XiY9jF.UgLdQFdeHeJq8L6q\n"

struct registry {
	pid_t pid;
	char *host;
};

static struct registry open_registry, closed_registry;
static struct test_image image, other;
static const struct transfer_io io;

static uint16_t free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(at.sin_port);
}

static bool answers(uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
}

static void start(struct registry *r, const char *name, const char *folder, const char *auth)
{
	uint16_t port = free_port();
	AUTO_FREE char *text = mem_printf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
					  "storage: {filesystem: {rootdirectory: %s/%s}}\n"
					  "http: {addr: '127.0.0.1:%u', secret: s}\n%s",
		folder, name, port, auth);
	AUTO_FREE char *file = mem_printf("%s.yml", name);
	AUTO_FREE char *config = fixture_file(file, text);
	r->host = mem_printf("127.0.0.1:%u", port);
	r->pid = fork();
	if (r->pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execl(PROGRAM, PROGRAM, "serve", config, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 200 && !answers(port); i++)
		usleep(50000);
	assert_true(answers(port));
}

static void stop(struct registry *r)
{
	kill(r->pid, SIGTERM);
	waitpid(r->pid, NULL, 0);
	mem_freep(&r->host);
}

static int setup(void **state)
{
	(void)state;
	const char *folder = fixture_start();
	AUTO_FREE char *htpasswd = fixture_file("htpasswd", HTPASSWD);
	AUTO_FREE char *auth = mem_printf("auth: {htpasswd: {realm: test, path: %s}}\n", htpasswd);
	start(&open_registry, "open", folder, "");
	start(&closed_registry, "closed", folder, auth);
	image_make(&image, 1);
	image_make(&other, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop(&open_registry);
	stop(&closed_registry);
	image_fini(&image);
	image_fini(&other);
	fixture_end();
	return 0;
}

static struct remote *remote_over(struct store *s, const char *auth_file)
{
	struct remote *r = NULL;
	ok(remote_new(
		s, &(struct remote_config){.auth_file = auth_file, .retries = 2, .backoff = 1000000}, &r));
	return r;
}

static void refer(struct reference *out, const char *host, const char *rest)
{
	AUTO_FREE char *text = mem_printf("%s/%s", host, rest);
	ok(reference_parse(text, true, out));
}

static void push(struct store *s, const struct test_image *what, const char *host, const char *rest,
	bool overwrite, bool want_already)
{
	AUTO(remote_freep) struct remote *r = remote_over(s, NULL);
	AUTO(reference_fini) struct reference ref = {0};
	bool already = !want_already;
	refer(&ref, host, rest);
	ok(remote_push(r, &what->descriptor, &ref, overwrite, &io, &already));
	assert_int_equal(already, want_already);
}

static void test_push_and_pull(void **state)
{
	(void)state;
	AUTO(store_closep)
	struct store *a = fixture_store("a"), *b = fixture_store("b"), *c = fixture_store("c");
	AUTO(reference_fini) struct reference ref = {0};
	image_put(a, &image);
	push(a, &image, open_registry.host, "team/app:v1", false, false);
	push(a, &image, open_registry.host, "team/app:v1", false, true);
	push(a, &image, open_registry.host, "team/app:v2", false, false);
	push(a, &image, open_registry.host, "other/app:v1", false, false);
	refer(&ref, open_registry.host, "team/app:v1");

	struct descriptor top = {0}, manifest = {0};
	int64_t size = 0;
	{
		AUTO(remote_freep) struct remote *r = remote_over(b, NULL);
		ok(remote_resolve(r, &ref, &io, &top));
		assert_true(digest_eq(&top.digest, &image.descriptor.digest));
		assert_string_equal(top.media_type, MEDIA_OCI_MANIFEST);
		assert_int_equal(top.size, image.manifest.len);
		ok(remote_pull_lazy(r, &ref, NULL, &io, &top, &manifest));
		ok(store_blob_stat(b, &image.config_descriptor.digest, &size));
		assert_int_equal(size, image.config.len);
		ok(store_blob_stat(b, &image.layer_descriptors[0].digest, &size));
		assert_int_equal(size, -1);
	}
	/* Another process, later, that knows the layer's digest only. */
	AUTO(remote_freep) struct remote *later = remote_over(b, NULL);
	for (size_t i = 0; i < LAYERS; i++)
		ok(remote_fetch_blob(later, NULL, &image.layer_descriptors[i], &io));
	image_check(b, &image);
	AUTO(remote_freep) struct remote *whole = remote_over(c, NULL);
	ok(remote_pull(whole, &ref, &(struct remote_pull_options){.all_platforms = true}, &io, &top));
	image_check(c, &image);
	refused(remote_fetch_blob(later, NULL, &other.layer_descriptors[0], &io), ERR_NOT_FOUND,
		"no repository is known");
}

static void test_index(void **state)
{
	(void)state;
	AUTO(store_closep)
	struct store *a = fixture_store("ia"), *b = fixture_store("ib"), *c = fixture_store("ic");
	image_put(a, &image);
	image_put(a, &other);
	struct descriptor entries[2] = {image.descriptor, other.descriptor}, index = {0}, top = {0};
	for (size_t i = 0; i < 2; i++) {
		entries[i].has_platform = true;
		ok(platform_parse(i ? "linux/arm64" : "linux/amd64", &entries[i].platform));
	}
	AUTO_FREE char *text = index_write(entries, 2, NULL);
	ok(images_put_manifest(a, str_c(text), MEDIA_OCI_INDEX, &index));
	AUTO(reference_fini) struct reference ref = {0};
	refer(&ref, open_registry.host, "team/multi:v1");
	AUTO(remote_freep)
	struct remote *ra = remote_over(a, NULL), *rb = remote_over(b, NULL), *rc = remote_over(c, NULL);
	ok(remote_push(ra, &index, &ref, false, &io, NULL));
	struct platform want, odd;
	ok(platform_parse("linux/arm64", &want));
	ok(platform_parse("linux/s390x", &odd));
	ok(remote_pull(rb, &ref, &(struct remote_pull_options){.platform = &want}, &io, &top));
	assert_true(digest_eq(&top.digest, &index.digest));
	image_check(b, &other);
	int64_t size;
	ok(store_blob_stat(b, &image.descriptor.digest, &size));
	assert_int_equal(size, -1);
	refused(remote_pull(rb, &ref, &(struct remote_pull_options){.platform = &odd}, &io, &top),
		ERR_NOT_FOUND, "linux/amd64, linux/arm64");
	/* What is not here may be pushed on where it is already, and only there. */
	AUTO(reference_fini) struct reference same = {0}, elsewhere = {0};
	refer(&same, open_registry.host, "team/multi:v2");
	refer(&elsewhere, open_registry.host, "team/elsewhere:v2");
	ok(remote_push(rb, &index, &same, false, &io, NULL));
	refused(remote_push(rb, &index, &elsewhere, false, &io, NULL), ERR_NOT_FOUND, "for all platforms");
	ok(remote_pull(rc, &ref, &(struct remote_pull_options){.all_platforms = true}, &io, &top));
	image_check(c, &image);
	image_check(c, &other);
}

static void test_tags(void **state)
{
	(void)state;
	AUTO(store_closep) struct store *a = fixture_store("t");
	AUTO(remote_freep) struct remote *r = remote_over(a, NULL);
	AUTO(reference_fini) struct reference ref = {0}, none = {0}, digest = {0};
	AUTO_STRVEC struct strvec tags = {0}, nothing = {0};
	image_put(a, &image);
	image_put(a, &other);
	push(a, &image, open_registry.host, "tagged/app:v10", false, false);
	push(a, &image, open_registry.host, "tagged/app:v9", false, false);
	push(a, &image, open_registry.host, "tagged/app:Latest", false, false);
	refer(&ref, open_registry.host, "tagged/app:v9");
	refer(&none, open_registry.host, "tagged/none:v9");
	ok(remote_tags(r, &ref, &io, &tags));
	assert_int_equal(tags.len, 3);
	assert_string_equal(tags.ptr[0], "Latest");
	assert_string_equal(tags.ptr[1], "v10");
	ok(remote_tags(r, &none, &io, &nothing));
	assert_int_equal(nothing.len, 0);
	struct descriptor d = {0};
	refused(remote_resolve(r, &none, &io, &d), ERR_NOT_FOUND,
		"/v2/tagged/none/manifests/v9: the answer is 404");
	refused(remote_push(r, &other.descriptor, &ref, false, &io, NULL), ERR_EXISTS,
		"the tag exists with another image");
	push(a, &other, open_registry.host, "tagged/app:v9", true, false);
	ok(remote_resolve(r, &ref, &io, &d));
	assert_true(digest_eq(&d.digest, &other.descriptor.digest));
	/* By digest, without a tag. */
	reference_copy(&ref, &digest);
	mem_freep(&digest.tag);
	digest.digest = image.descriptor.digest;
	ok(remote_resolve(r, &digest, &io, &d));
	assert_true(digest_eq(&d.digest, &image.descriptor.digest));
}

static void test_basic(void **state)
{
	(void)state;
	AUTO(store_closep) struct store *a = fixture_store("auth");
	AUTO(reference_fini) struct reference ref = {0};
	image_put(a, &image);
	refer(&ref, closed_registry.host, "team/app:v1");
	AUTO_FREE char *file = mem_printf("%s/auth.json", getenv("HOME"));
	AUTO(remote_freep) struct remote *nobody = remote_over(a, NULL), *r = remote_over(a, file);
	refused(remote_push(nobody, &image.descriptor, &ref, false, &io, NULL), ERR_DENIED,
		".docker/config.json");
	refused(remote_login(r, closed_registry.host, "dev", "wrong", &io), ERR_DENIED, "was refused");
	assert_int_not_equal(access(file, F_OK), 0);
	ok(remote_login(r, closed_registry.host, "dev", PASSWORD, &io));
	struct stat st;
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ok(remote_push(r, &image.descriptor, &ref, false, &io, NULL));
	AUTO(remote_freep) struct remote *later = remote_over(a, file);
	struct descriptor d = {0};
	ok(remote_resolve(later, &ref, &io, &d));
	AUTO_FREE char *bad = fixture_file("bad.json", "{\"auths\":{\"127.0.0.1\":{\"auth\":\"ZGV2Ong=\"}}}");
	AUTO_FREE char *text =
		mem_printf("{\"auths\":{\"%s\":{\"auth\":\"ZGV2Ong=\"}}}", closed_registry.host);
	mem_freep(&bad);
	bad = fixture_file("bad.json", text);
	AUTO(remote_freep) struct remote *wrong = remote_over(a, bad);
	refused(remote_resolve(wrong, &ref, &io, &d), ERR_DENIED, "bad.json were used");
	bool there = false;
	ok(remote_logout(r, closed_registry.host, NULL, &there));
	assert_true(there);
	ok(remote_logout(r, closed_registry.host, NULL, &there));
	assert_false(there);
}

static void test_vanished(void **state)
{
	(void)state;
	AUTO(store_closep) struct store *a = fixture_store("vanished");
	AUTO(remote_freep) struct remote *r = remote_over(a, NULL);
	AUTO(reference_fini) struct reference ref = {0};
	AUTO_FREE char *host = mem_printf("127.0.0.1:%u", free_port());
	struct descriptor d = {0};
	refer(&ref, host, "team/app:v1");
	refused(remote_resolve(r, &ref, &io, &d), ERR_UNAVAILABLE, host);
}

int main(void)
{
	if (access(PROGRAM, X_OK) != 0)
		return 77;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_push_and_pull),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_vanished),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

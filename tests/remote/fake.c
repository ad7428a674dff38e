/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void free_buf(void *p)
{
	buf_fini(p);
	free(p);
}

static void keep(struct fake *f, const char *key, const struct buf *bytes)
{
	struct buf *copy = mem_new(struct buf);
	buf_addstr(copy, buf_str(bytes));
	map_set_c(f->uploaded, key, copy);
}

void fake_forget(struct fake *f)
{
	map_free(f->uploaded);
	f->uploaded = map_new(free_buf);
}

const struct buf *fake_uploaded(struct fake *f, const char *key)
{
	return map_get_c(f->uploaded, key);
}

void fake_answer(struct http_exchange *x, int status, const char *text)
{
	http_answer(x, status, str_c(text));
}

void fake_answer_error(struct http_exchange *x, int status, const char *code)
{
	AUTO_FREE char *text =
		mem_printf("{\"errors\":[{\"code\":\"%s\",\"message\":\"as the test wants\"}]}", code);
	http_set_header(x, "Content-Type", "application/json");
	fake_answer(x, status, text);
}

int fake_file(const void *p, size_t len)
{
	char name[] = "/tmp/cooper-fake-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)p + done, len - done);
		if (n <= 0)
			abort();
		done += (size_t)n;
	}
	return fd;
}

const struct buf *fake_blob_of(const struct fake *f, const char *path)
{
	char text[DIGEST_TEXT_MAX];
	if (!strstr(path, "/blobs/"))
		return NULL;
	if (cstr_ends(path, digest_text(&f->image->config_descriptor.digest, text)))
		return &f->image->config;
	for (size_t i = 0; i < LAYERS; i++)
		if (cstr_ends(path, digest_text(&f->image->layer_descriptors[i].digest, text)))
			return &f->image->layers[i];
	return NULL;
}

static void get_blob(struct http_exchange *x, const struct buf *b)
{
	size_t from = 0;
	const char *range = http_header(x, "Range");
	if (range)
		from = strtoull(range + strlen("bytes="), NULL, 10);
	if (range) {
		AUTO_FREE char *text = mem_printf("bytes %zu-%zu/%zu", from, b->len - 1, b->len);
		http_set_header(x, "Content-Range", text);
	}
	if (cstr_eq(http_method(x), "HEAD"))
		http_answer_head(x, 200, b->len);
	else
		http_answer_file(x, range ? 206 : 200, fake_file(buf_cstr(b), b->len), from, b->len - from);
}

static void get_manifest(struct fake *f, struct http_exchange *x)
{
	char text[DIGEST_TEXT_MAX];
	const char *path = http_path(x);
	digest_text(&f->image->descriptor.digest, text);
	if (!cstr_ends(path, "/v1") && !cstr_ends(path, text)) {
		fake_answer_error(x, 404, "MANIFEST_UNKNOWN");
		return;
	}
	http_set_header(x, "Content-Type", MEDIA_OCI_MANIFEST "; charset=utf-8");
	http_set_header(x, "Docker-Content-Digest", text);
	http_answer(x, 200, buf_str(&f->image->manifest));
}

static void finish_upload(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	char text[DIGEST_TEXT_MAX];
	struct digest d;
	buf_addstr(&f->session, buf_str(body));
	digest_of(buf_cstr(&f->session), f->session.len, &d);
	const char *want = http_query(x, "digest");
	if (!want || !cstr_eq(want, digest_text(&d, text))) {
		fake_answer_error(x, 400, "DIGEST_INVALID");
		return;
	}
	keep(f, text, &f->session);
	buf_clear(&f->session);
	fake_answer(x, 201, "");
}

static void write_call(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	const char *method = http_method(x), *path = http_path(x);
	if (strstr(path, "/manifests/")) {
		keep(f, strrchr(path, '/') + 1, body);
		fake_answer(x, 201, "");
	} else if (cstr_eq(method, "POST")) {
		buf_clear(&f->session);
		f->sessions++;
		AUTO_FREE char *location = mem_printf("session-%u?state=0", f->sessions);
		http_set_header(x, "Location", location);
		fake_answer(x, 202, "");
	} else if (cstr_eq(method, "PATCH")) {
		buf_addstr(&f->session, buf_str(body));
		AUTO_FREE char *location = mem_printf("%s?state=%zu", path, f->session.len);
		AUTO_FREE char *range = mem_printf("0-%zu", f->session.len - 1);
		http_set_header(x, "Location", location);
		http_set_header(x, "Range", range);
		fake_answer(x, 202, "");
	} else if (cstr_eq(method, "PUT")) {
		finish_upload(f, x, body);
	} else {
		fake_answer(x, 204, "");
	}
}

static void get_session(struct fake *f, struct http_exchange *x)
{
	AUTO_FREE char *range = mem_printf("0-%zu", f->session.len ? f->session.len - 1 : 0);
	AUTO_FREE char *location = mem_printf("%s?state=%zu", http_path(x), f->session.len);
	http_set_header(x, "Location", location);
	http_set_header(x, "Range", range);
	fake_answer(x, 204, "");
}

static void default_answer(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	const char *path = http_path(x);
	bool reads = cstr_eq(http_method(x), "GET") || cstr_eq(http_method(x), "HEAD");
	const struct buf *blob = fake_blob_of(f, path);
	if (cstr_eq(path, "/v2/"))
		fake_answer(x, 200, "{}");
	else if (strstr(path, "/uploads/") && reads)
		get_session(f, x);
	else if (!reads)
		write_call(f, x, body);
	else if (strstr(path, "/manifests/"))
		get_manifest(f, x);
	else if (blob)
		get_blob(x, blob);
	else
		fake_answer_error(x, 404, "BLOB_UNKNOWN");
}

static struct err *f_begin(void *ctx, struct http_exchange *x, void **state)
{
	(void)ctx;
	(void)x;
	*state = mem_new(struct buf);
	return NULL;
}

static struct err *f_body(void *ctx, struct http_exchange *x, void *state, const void *p, size_t len)
{
	(void)ctx;
	(void)x;
	buf_add(state, p, len);
	return NULL;
}

static void note(struct fake *f, struct http_exchange *x)
{
	AUTO_BUF struct buf line = {0};
	const char *mount = http_query(x, "mount"), *from = http_query(x, "from"),
		   *auth = http_header(x, "Authorization"), *range = http_header(x, "Range"),
		   *content_range = http_header(x, "Content-Range");
	buf_addf(&line, "%s %s", http_method(x), http_path(x));
	if (mount)
		buf_addf(&line, " mount=%s from=%s", mount, from ? from : "-");
	if (http_query(x, "state"))
		buf_addf(&line, " state=%s", http_query(x, "state"));
	if (auth)
		buf_addf(&line, " auth=%s", auth);
	if (range)
		buf_addf(&line, " range=%s", range);
	if (content_range)
		buf_addf(&line, " part=%s", content_range);
	strvec_push(&f->log, buf_cstr(&line));
}

static struct err *f_end(void *ctx, struct http_exchange *x, void *state)
{
	struct fake *f = ctx;
	pthread_mutex_lock(&f->lock);
	note(f, x);
	if (!f->hook || !f->hook(f, x, state))
		default_answer(f, x, state);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void f_free(void *ctx, void *state)
{
	(void)ctx;
	free_buf(state);
}

void fake_start(struct fake *f, const struct test_image *image)
{
	*f = (struct fake){.image = image};
	pthread_mutex_init(&f->lock, NULL);
	f->uploaded = map_new(free_buf);
	const struct http_handler handler = {
		.begin = f_begin, .body = f_body, .end = f_end, .free_state = f_free, .ctx = f};
	ok(http_server_start(&(struct http_server_options){.listen = "127.0.0.1:0"}, &handler, &f->server));
	f->host = mem_printf("127.0.0.1:%u", http_server_port(f->server));
}

void fake_stop(struct fake *f)
{
	http_server_stop(f->server, 0);
	map_free(f->uploaded);
	buf_fini(&f->session);
	strvec_fini(&f->log);
	mem_freep(&f->host);
	pthread_mutex_destroy(&f->lock);
}

unsigned fake_count(struct fake *f, const char *part)
{
	unsigned n = 0;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->log.len; i++)
		n += strstr(f->log.ptr[i], part) != NULL;
	pthread_mutex_unlock(&f->lock);
	return n;
}

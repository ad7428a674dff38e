/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files by URL. The store's record "local/http:<sha256 of url>" remembers the last answer as JSON: {"url",
 * "digest", "size", "etag", "modified" (seconds)}; it keeps the content's blob.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "exec/executor_internal.h"
#include "exec/step_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_REDIRECTS 10
#define PROGRESS_STEP (UINT64_C(1) << 20)

struct http_known {
	bool found;
	struct digest digest;
	uint64_t size;
	char *etag;
	int64_t modified; /* ns; 0: the server does not say */
};

static void http_known_fini(struct http_known *k)
{
	mem_freep(&k->etag);
}

static void record_key(const char *url, char out[16 + DIGEST_TEXT_MAX])
{
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	digest_of(url, strlen(url), &d);
	snprintf(out, 16 + DIGEST_TEXT_MAX, "http:%s", digest_hex(&d, hex));
}

static struct err *recall(struct sandbox_executor *sx, const char *url, struct http_known *k)
{
	char key[16 + DIGEST_TEXT_MAX];
	AUTO_BUF struct buf value = {0};
	int64_t size;
	record_key(url, key);
	TRY(store_record_get(sx->store, "local", key, &value, &k->found));
	if (!k->found)
		return NULL;
	k->found = false;
	AUTO_JSON json_t *j = NULL;
	struct err *bad = json_parse(buf_str(&value), key, &j);
	if (bad) {
		err_ignore(bad, "a damaged note is no note");
		return NULL;
	}
	const char *digest = json_string_value(json_object_get(j, "digest"));
	struct err *e = digest ? digest_parse(str_c(digest), &k->digest) : NULL;
	if (digest && !e) {
		k->etag = mem_strdup(json_string_value(json_object_get(j, "etag")));
		k->modified = json_integer_value(json_object_get(j, "modified")) * CLOCK_SECOND;
		k->found = true;
	}
	err_free(e);
	if (!k->found)
		return NULL;
	TRY(store_blob_stat(sx->store, &k->digest, &size));
	k->found = size >= 0;
	k->size = size >= 0 ? (uint64_t)size : 0;
	return NULL;
}

static struct err *write_down(struct sandbox_executor *sx, const char *url, const struct http_known *k)
{
	char key[16 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];
	record_key(url, key);
	json_t *j = json_object();
	AUTO_FREE char *shown = url_for_message(url);
	json_set_text(j, "url", shown);
	json_object_set_new(j, "digest", json_string(digest_text(&k->digest, text)));
	json_object_set_new(j, "size", json_integer((json_int_t)k->size));
	json_set_text(j, "etag", k->etag);
	if (k->modified)
		json_object_set_new(j, "modified", json_integer(k->modified / CLOCK_SECOND));
	AUTO_FREE char *value = json_dump(j, true);
	json_decref(j);
	struct store_ref ref = {.kind = STORE_REF_BLOB, .name = text};
	struct store_record rec = {
		.space = "local", .key = key, .value = str_c(value), .refs = &ref, .ref_count = 1};
	return store_record_put(sx->store, &rec);
}

static struct err *client(struct sandbox_executor *sx, struct http_client **out)
{
	struct err *e = NULL;
	pthread_mutex_lock(&sx->http_lock);
	if (!sx->http) {
		struct http_client_options opt = {.ca_file = sx->http_ca_file};
		e = http_client_new(&opt, &sx->http);
	}
	*out = sx->http;
	pthread_mutex_unlock(&sx->http_lock);
	return e;
}

struct download {
	const struct step_io *io;
	const struct http_response *response;
	struct store_blob_writer *w;
	uint64_t shown;
};

static void show_progress(struct download *d)
{
	uint64_t done = store_blob_written(d->w), total = 0;
	if (done < d->shown + PROGRESS_STEP)
		return;
	const char *len = http_response_header(d->response, "Content-Length", 0);
	if (len && !str_to_u64(str_c(len), &total))
		total = 0;
	d->shown = done;
	event_emit(d->io->events, (struct event){.type = EVENT_PROGRESS,
					  .step = d->io->step,
					  .done = done,
					  .total = total,
					  .unit = "bytes"});
}

static struct err *take_body(void *ctx, const void *p, size_t len)
{
	struct download *d = ctx;
	TRY(store_blob_write(d->w, p, len));
	show_progress(d);
	return NULL;
}

static struct err *status_error(const char *url, int status)
{
	AUTO_FREE char *shown = url_for_message(url);
	enum err_kind kind = status == 404 || status == 410   ? ERR_NOT_FOUND
			     : status == 401 || status == 403 ? ERR_DENIED
			     : status >= 500 || status == 429 ? ERR_UNAVAILABLE
							      : ERR_INVALID;
	struct err *e = err_new(kind, "GET %s: the server answered %d", shown, status);
	if (kind == ERR_DENIED)
		return err_hint(e, "give credentials with --secret id=HTTP_AUTH_HEADER_<host> or "
				   "HTTP_AUTH_TOKEN_<host>");
	return e;
}

static struct err *build_headers(struct sandbox_executor *sx, const struct op_http *op,
	const struct http_known *k, struct strvec *headers)
{
	/* The bytes themselves are what is pinned: no transport compression. */
	strvec_push(headers, "Accept-Encoding: identity");
	if (k->found && k->etag)
		strvec_pushf(headers, "If-None-Match: %s", k->etag);
	if (op->auth_secret) {
		AUTO_BUF struct buf value = {0};
		bool given;
		TRY(secret_value(&sx->run, op->auth_secret, &value, &given));
		struct str v = str_trim(buf_str(&value));
		if (str_index(v, '\n') >= 0 || str_index(v, '\r') >= 0)
			return err_new(ERR_INVALID, "the secret %s is not one line", op->auth_secret);
		bool token = cstr_starts(op->auth_secret, "HTTP_AUTH_TOKEN_");
		if (given)
			strvec_pushf(
				headers, "Authorization: %s" STR_FMT, token ? "Bearer " : "", STR_ARG(v));
	}
	return NULL;
}

static void take_headers(const struct http_response *r, struct http_known *k)
{
	const char *etag = http_response_header(r, "ETag", 0);
	mem_freep(&k->etag);
	k->etag = etag && strlen(etag) < 1000 ? mem_strdup(etag) : NULL;
	const char *time = http_response_header(r, "Last-Modified", 0);
	k->modified = 0;
	if (time)
		err_ignore(clock_parse_http(str_c(time), &k->modified), "then it has none");
}

static void response_fini(struct http_response *r)
{
	http_response_fini(r);
}

static struct err *other_content(const struct op_http *op, const struct digest *want, struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *shown = url_for_message(op->url);
	e = err_wrap(e, "the content of %s does not have the checksum %s", shown, digest_text(want, text));
	if (op->checksum)
		return err_hint(e, "check the URL; if the file was meant to change, update the checksum");
	return err_hint(
		e, "the file changed since it was pinned: if it was meant to, build without --locked");
}

/* Ask the server; k becomes what the URL holds now. want: what it must be, NULL: anything. */
static struct err *download(struct sandbox_executor *sx, const struct op_http *op, const struct step_io *io,
	const struct digest *want, struct http_known *k)
{
	struct http_client *c;
	AUTO(response_fini) struct http_response r = {0};
	AUTO_STRVEC struct strvec headers = {0};
	struct download d = {.io = io, .response = &r};
	TRY(client(sx, &c));
	TRY(build_headers(sx, op, k, &headers));
	AUTO(store_blob_abandonp) struct store_blob_writer *w = NULL;
	TRY(store_blob_begin(sx->store, &w));
	d.w = w;
	struct http_request rq = {
		.method = "GET",
		.url = op->url,
		.headers = strvec_list(&headers),
		.write_body = take_body,
		.write_ctx = &d,
		.max_redirects = MAX_REDIRECTS,
		.cancel = io->cancel,
	};
	TRY(http_send(c, &rq, &r));
	if (r.status == 304 && k->found)
		return NULL;
	if (r.status != 200)
		return status_error(op->url, r.status);
	uint64_t size = store_blob_written(w);
	struct digest got;
	struct err *e = store_blob_commit(steal(&w), want, &got);
	if (e && err_kind(e) == ERR_CORRUPT)
		return other_content(op, want, e);
	TRY(e);
	take_headers(&r, k);
	k->digest = got;
	k->size = size;
	k->found = true;
	return write_down(sx, op->url, k);
}

/*
 * Equal files, equal digest: name, mode and owner are the file's too. Its time is the server's only if that
 * was asked for: it may say another for the same bytes.
 */
static void pin_digest(const struct op_http *op, const struct http_known *k, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	char text[DIGEST_TEXT_MAX];
	hasher_add_field(h, STR("http-2"));
	hasher_add_field(h, str_c(digest_text(&k->digest, text)));
	hasher_add_field(h, str_c(op->filename));
	hasher_add_u64(h, op->mode);
	hasher_add_u64(h, op->uid);
	hasher_add_u64(h, op->gid);
	if (op->server_time && k->modified)
		hasher_add_u64(h, (uint64_t)k->modified);
	hasher_finish(h, out);
}

struct err *http_pin(struct sandbox_executor *sx, const struct op_http *op, const struct step_io *io,
	struct source_pin *out)
{
	AUTO(http_known_fini) struct http_known k = {0};
	struct digest want = {0};
	char text[DIGEST_TEXT_MAX];
	if (op->checksum)
		TRY(digest_parse(str_c(op->checksum), &want));
	TRY(recall(sx, op->url, &k));
	bool known = op->checksum && k.found && digest_eq(&k.digest, &want);
	if (!known) {
		if (op->checksum)
			k.found = false;
		TRY(download(sx, op, io, op->checksum ? &want : NULL, &k));
	}
	digest_text(&k.digest, text);
	out->text = op->server_time && k.modified
			    ? mem_printf("%s@%s;%lld", op->url, text, (long long)(k.modified / CLOCK_SECOND))
			    : mem_printf("%s@%s", op->url, text);
	pin_digest(op, &k, &out->digest);
	return NULL;
}

struct http_filling {
	struct sandbox_executor *sx;
	const struct op_http *op;
	struct digest digest;
	int64_t mtime;
};

static struct err *fill_from_blob(void *ctx, int dirfd, const char *dir)
{
	struct http_filling *f = ctx;
	AUTO_FD int in = -1;
	AUTO_FD int out = -1;
	uint64_t size;
	const char *name = f->op->filename;
	struct timespec t = timespec_of_ns(f->mtime), times[2] = {t, t};
	(void)dir;
	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return err_new(ERR_INVALID, "\"%s\" cannot be a file name", name);
	TRY(store_blob_open(f->sx->store, &f->digest, &in, &size));
	TRY(file_open(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &out));
	TRY(fd_copy(in, out, size, name));
	if (fchown(out, f->op->uid, f->op->gid) < 0)
		return err_sys(errno, "setting the owner of %s to %u:%u", name, f->op->uid, f->op->gid);
	if (fchmod(out, f->op->mode ? f->op->mode & 07777 : 0600) < 0 || futimens(out, times) < 0)
		return err_sys(errno, "setting the mode of %s", name);
	if (futimens(dirfd, times) < 0)
		return err_sys(errno, "setting the times of %s", name);
	return NULL;
}

/* What a pin's text says after its last "@". */
static struct err *read_pin(const char *pin, struct http_filling *f)
{
	const char *at = strrchr(pin, '@');
	struct str digest, rest = str_c(at ? at + 1 : "");
	int64_t seconds;

	if (!str_split(&rest, ';', &digest))
		return err_new(ERR_INVALID, "\"%s\" is not the pin of a URL", pin);
	if (rest.ptr && str_to_i64(rest, &seconds))
		f->mtime = seconds * CLOCK_SECOND;
	return digest_parse(digest, &f->digest);
}

/* The content, whatever the URL holds by now. */
static struct err *need_blob(struct sandbox_executor *sx, const struct op_http *op, const struct digest *want,
	const struct step_io *io)
{
	AUTO(http_known_fini) struct http_known k = {0};
	int64_t size;

	TRY(store_blob_stat(sx->store, want, &size));
	return size >= 0 ? NULL : download(sx, op, io, want, &k);
}

struct err *http_fetch(struct sandbox_executor *sx, const struct op_http *op, const struct source_pin *pin,
	const struct step_io *io, struct snapshot *out)
{
	struct http_filling f = {.sx = sx, .op = op, .mtime = sx->run.epoch};
	char text[DIGEST_TEXT_MAX];
	struct layer l;
	TRY(read_pin(pin->text, &f));
	TRY(need_blob(sx, op, &f.digest, io));
	AUTO_FREE char *key =
		mem_printf("http-2:%lld:%s", (long long)sx->run.epoch, digest_text(&pin->digest, text));
	struct layer_recipe recipe = {.key = key, .fill = fill_from_blob, .ctx = &f};
	TRY(layer_by_recipe(sx, &recipe, io, &l));
	strvec_push(&out->layers, l.id);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/new_upstream.h"

#include "base/digest.h"
#include "base/mem.h"
#include "exec/git_tool.h"
#include "http/client.h"
#include "nix/nix.h"
#include "repo/scaffold.h"
#include "sys/process.h"

#include <string.h>
#include <strings.h>

#define MAX_REDIRECTS 10
#define VERSION_PLACE "{version}"
#define ARCH_PLACE "{arch}"

/* A Dockerfile knows a repository over HTTP by the ending of its address. */
static struct err *repository_url(const char *url, char **out)
{
	bool http = cstr_starts(url, "https://") || cstr_starts(url, "http://");
	if (!http && !cstr_starts(url, "ssh://") && !cstr_starts(url, "git://") && !cstr_starts(url, "git@"))
		return err_hint(err_new(ERR_USAGE, "\"%s\" is no address of a git repository", url),
			"write it like https://git.example/project.git");
	size_t len = strlen(url);
	while (len && url[len - 1] == '/')
		len--;
	bool ending = http && !str_ends(str_n(url, len), ".git");
	*out = mem_printf("%.*s%s", (int)len, url, ending ? ".git" : "");
	return NULL;
}

struct err *upstream_find_tag(
	const char *url, const char *version, const struct cancel *cancel, struct upstream_tag *out)
{
	AUTO_FREE char *full = NULL;
	AUTO_BUF struct buf listing = {0};
	TRY(repository_url(url, &full));
	TRY(scaffold_check_address(full, true));
	const char *const args[] = {"ls-remote", "--tags", "--", full, NULL};
	struct git_call call = {.args = args, .cancel = cancel};
	struct err *e = git_run(&call, &listing);
	if (!e)
		e = upstream_choose_tag(buf_str(&listing), version, out);
	if (e)
		return err_wrap(e, "%s", full);
	out->url = steal(&full);
	return NULL;
}

struct err *upstream_nix_sum(const char *url, const struct cancel *cancel, char **sum)
{
	AUTO_FREE char *program = NULL;
	AUTO_BUF struct buf out = {0};

	if (!cstr_starts(url, "http://") && !cstr_starts(url, "https://"))
		return err_hint(err_new(ERR_USAGE, "\"%s\" is no address of an archive", url),
			"write that of nixpkgs at a commit, "
			"https://forge.example/nixpkgs/archive/<commit>.tar.gz");
	TRY(scaffold_check_address(url, true));
	struct err *e = nix_find("nix-prefetch-url", &program);
	if (e)
		return err_hint(
			e, "where Nix is: nix-prefetch-url --unpack %s; give what it says as --sha256", url);
	const char *const argv[] = {program, "--unpack", "--type", "sha256", url, NULL};
	const struct process_request rq = {.argv = argv, .cancel = cancel};
	TRY(process_run(&rq, &out, NULL));
	struct str line = str_trim(buf_str(&out));
	*sum = mem_strndup(line.ptr, line.len);
	return NULL;
}

void upstream_downloads_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++) {
		struct scaffold_download *d = vec_at(v, i);
		mem_freep(&d->arch);
		mem_freep(&d->url);
	}
	vec_fini(v);
}

static char *replaced(const char *text, const char *what, const char *with)
{
	struct buf b = {0};
	buf_add_replaced(&b, text, what, with);
	return buf_steal(&b);
}

/* More is no program, but a server that never ends. */
#define DOWNLOAD_MAX (UINT64_C(32) << 30)

struct sum {
	struct hasher *hasher;
	uint64_t size;
	char first[sizeof("<!doctype html")];
};

static struct err *take_bytes(void *ctx, const void *p, size_t len)
{
	struct sum *s = ctx;
	size_t room = sizeof(s->first) - 1;
	if (len > DOWNLOAD_MAX - s->size)
		return err_new(ERR_INVALID, "it goes on after %llu bytes", (unsigned long long)DOWNLOAD_MAX);
	if (s->size < room)
		memcpy(s->first + s->size, p, len < room - s->size ? len : room - s->size);
	hasher_add(s->hasher, p, len);
	s->size += len;
	return NULL;
}

/* What a login in between, or a page about the file, answers with status 200. */
static struct err *check_no_page(const char *url, const struct sum *s)
{
	if (strncasecmp(s->first, "<!doctype html", 14) != 0 && strncasecmp(s->first, "<html", 5) != 0)
		return NULL;
	AUTO_FREE char *shown = url_for_message(url);
	return err_hint(err_new(ERR_INVALID, "GET %s: it gives a web page, not the file", shown),
		"write the address of the file itself, which needs no login");
}

static struct err *wrong_status(const char *url, int status)
{
	AUTO_FREE char *shown = url_for_message(url);
	struct err *e =
		err_new(status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "GET %s: HTTP %d", shown, status);
	if (status != 404)
		return e;
	return err_hint(e, "is the version right, and what upstream calls the architecture? As in --arch "
			   "amd64=x86_64; --arch amd64 alone makes it for just that one");
}

static struct err *fetch_sum(
	struct http_client *client, const struct upstream_request *rq, const char *url, char out[65])
{
	AUTO(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	struct sum sum = {.hasher = hasher};
	struct http_response answer = {0};
	struct http_request get = {.method = "GET",
		.url = url,
		.write_body = take_bytes,
		.write_ctx = &sum,
		.max_redirects = MAX_REDIRECTS,
		.cancel = rq->cancel};
	struct err *e = http_send(client, &get, &answer);
	int status = answer.status;
	http_response_fini(&answer);
	if (!e && status != 200)
		e = wrong_status(url, status);
	if (!e)
		e = check_no_page(url, &sum);
	if (e)
		return e;
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	hasher_finish(hasher, &d);
	memcpy(out, digest_hex(&d, hex), 65);
	AUTO_FREE char *shown = url_for_message(url);
	fprintf(rq->say, "%s: %llu bytes, sha256 %s\n", shown, (unsigned long long)sum.size, out);
	return NULL;
}

/* A sum that the user gave for arch; "" if none. */
static struct err *given_sum(const struct upstream_request *rq, const char *arch, size_t archs, char out[65])
{
	out[0] = '\0';
	for (size_t i = 0; rq->sha256s && i < rq->sha256s->len; i++) {
		const char *text = rq->sha256s->ptr[i], *eq = strchr(text, '=');
		if (!eq && archs > 1)
			return err_hint(err_new(ERR_USAGE, "--sha256 %s: of which architecture?", text),
				"write --sha256 amd64=<sum>, or --arch amd64 to make it for just that one");
		if (eq && !str_eq_c(str_n(text, (size_t)(eq - text)), arch))
			continue;
		const char *hex = eq ? eq + 1 : text;
		if (strlen(hex) != 64)
			return err_new(ERR_USAGE, "--sha256 %s: a sum has 64 characters", text);
		memcpy(out, hex, 65);
	}
	return NULL;
}

static struct err *check_sums(const struct upstream_request *rq, const struct vec *downloads)
{
	for (size_t i = 0; rq->sha256s && i < rq->sha256s->len; i++) {
		const char *text = rq->sha256s->ptr[i];
		struct str arch = str_n(text, strcspn(text, "="));
		bool known = !strchr(text, '=');
		for (size_t j = 0; j < downloads->len && !known; j++)
			known = str_eq_c(arch, ((struct scaffold_download *)vec_at(downloads, j))->arch);
		if (!known)
			return err_hint(
				err_new(ERR_USAGE, "--sha256 %s: it is not made for that architecture", text),
				"name it with --arch, too");
	}
	return NULL;
}

static void add_archs(const struct upstream_request *rq, struct vec *out)
{
	static const char *const usual[] = {"amd64", "arm64", NULL};
	const char *const *list = rq->archs && rq->archs->len ? strvec_list(rq->archs) : usual;
	for (; *list; list++) {
		struct scaffold_download *d = vec_push(out);
		size_t len = strcspn(*list, "=");
		d->arch = mem_strndup(*list, len);
		d->url = replaced(rq->url, ARCH_PLACE, (*list)[len] ? *list + len + 1 : d->arch);
	}
}

static struct err *fill_sums(const struct upstream_request *rq, struct vec *downloads)
{
	AUTO(http_client_freep) struct http_client *client = NULL;
	TRY(check_sums(rq, downloads));
	for (size_t i = 0; i < downloads->len; i++) {
		struct scaffold_download *d = vec_at(downloads, i);
		TRY(given_sum(rq, d->arch, downloads->len, d->sha256));
		if (*d->sha256)
			continue;
		struct scaffold_download *before = i ? vec_at(downloads, i - 1) : NULL;
		if (before && cstr_eq(before->url, d->url)) {
			memcpy(d->sha256, before->sha256, sizeof(d->sha256));
			continue;
		}
		AUTO_FREE char *url = replaced(d->url, VERSION_PLACE, rq->version);
		if (!client)
			TRY(http_client_new(NULL, &client));
		TRY(fetch_sum(client, rq, url, d->sha256));
	}
	return NULL;
}

struct err *upstream_downloads(const struct upstream_request *rq, struct vec *out)
{
	AUTO(upstream_downloads_fini) struct vec made = VEC_OF(struct scaffold_download);
	if (!cstr_starts(rq->url, "http://") && !cstr_starts(rq->url, "https://"))
		return err_hint(err_new(ERR_USAGE, "\"%s\" is no address of a download", rq->url),
			"write it like https://downloads.example/v{version}/program-{arch}.tar.gz");
	TRY(scaffold_check_address(rq->url, false));
	add_archs(rq, &made);
	TRY(fill_sums(rq, &made));
	*out = made;
	made = VEC_OF(struct scaffold_download);
	return NULL;
}

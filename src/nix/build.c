/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/compress.h"
#include "base/mem.h"
#include "base/path.h"
#include "nix/nix_internal.h"
#include "oci/images.h"
#include "sys/file.h"
#include "sys/process_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEEK 512u
#define STORE_HASH_LEN 32

/* A build under way: the request with its paths made real, and a place for Nix's links. */
struct nix_work {
	struct nix_request rq;
	char *root;    /* without links, as Nix shows it */
	char *file;    /* absolute */
	char *scratch; /* holds the links that keep Nix's garbage collector off */
};

static void work_fini(struct nix_work *w)
{
	if (w->scratch)
		err_ignore(tree_remove(AT_FDCWD, w->scratch), "the store sweeps it");
	mem_freep(&w->scratch);
	mem_freep(&w->root);
	mem_freep(&w->file);
}

static struct err *make_real(struct nix_work *w, const struct nix_request *rq)
{
	w->rq = *rq;
	w->root = realpath(rq->root, NULL);
	if (!w->root)
		return err_sys(errno, "looking at %s", rq->root);
	w->rq.root = w->root;
	w->file = path_join(w->root, rq->file);
	return NULL;
}

/* ---- what to build ---- */

/* The one line that a program wrote. */
static struct err *one_line(const struct nix_work *w, const struct buf *out, char **line)
{
	struct str rest = str_trim(buf_str(out)), first;
	size_t count = 0;

	if (rest.len == 0)
		return err_hint(err_new(ERR_INVALID, "%s gives no derivation", w->rq.file),
			"a default.nix gives one derivation, the image");
	*line = NULL;
	AUTO_FREE char *found = NULL;
	while (str_split(&rest, '\n', &first))
		if (count++ == 0)
			found = mem_strndup(first.ptr, first.len);
	if (count > 1)
		return err_hint(err_new(ERR_INVALID, "%s gives %zu derivations, not one", w->rq.file, count),
			"a default.nix gives one derivation, the image; others go into files of their own");
	*line = steal(&found);
	return NULL;
}

/* "LINK" or "LINK!output" -> "/nix/store/HASH-NAME.drv" or the same with "!output". */
static struct err *read_link(const char *shown, char **drv)
{
	const char *output = strrchr(shown, '!');
	AUTO_FREE char *link = mem_strndup(shown, output ? (size_t)(output - shown) : strlen(shown));
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	/* Without a link Nix showed the path itself. */
	if (n < 0 && errno != EINVAL)
		return err_sys(errno, "reading link %s", link);
	AUTO_FREE char *path = n < 0 ? mem_strdup(link) : mem_strndup(target, (size_t)n);
	*drv = mem_printf("%s%s", path, output ? output : "");
	return NULL;
}

static struct err *instantiate(const struct nix_work *w, struct nix_step *step, char **drv)
{
	AUTO_BUF struct buf out = {0};
	AUTO_FREE char *shown = NULL;
	AUTO_FREE char *link = path_join(w->scratch, "derivation");
	const char *const args[] = {w->file, "--add-root", link, "--indirect", NULL};

	TRY(nix_run(step, "nix-instantiate", args, &out));
	TRY(one_line(w, &out, &shown));
	return read_link(shown, drv);
}

/* The name of a derivation is made of a hash of all that it is built from. */
static void inputs_digest(const char *drv, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);

	hasher_add_field(h, STR("nix derivation"));
	hasher_add_field(h, str_c(path_base(drv)));
	hasher_finish(h, out);
}

static struct err *make_scratch(struct nix_work *w, const char *place)
{
	AUTO_FREE char *path = mem_printf("%s/cooper-nix-XXXXXX", place);

	if (!mkdtemp(path))
		return err_sys(errno, "making a folder in %s", place);
	w->scratch = steal(&path);
	return NULL;
}

static struct err *evaluate(struct nix_work *w, const struct nix_request *rq, char **drv)
{
	const char *tmp = getenv("TMPDIR");
	struct nix_step step;

	TRY(make_real(w, rq));
	TRY(make_scratch(w, tmp && *tmp ? tmp : "/tmp"));
	nix_step_begin(&step, &w->rq, 1, "[nix] nix-instantiate %s", rq->file);
	struct err *e = instantiate(w, &step, drv);
	nix_step_end(&step, e);
	return e;
}

struct err *nix_inputs(const struct nix_request *rq, struct digest *out)
{
	AUTO(work_fini) struct nix_work w = {0};
	AUTO_FREE char *drv = NULL;

	TRY(evaluate(&w, rq, &drv));
	inputs_digest(drv, out);
	return NULL;
}

static struct err *run_nix_build(struct nix_work *w, struct nix_step *step, char **drv, char **result)
{
	AUTO_BUF struct buf out = {0};
	AUTO_FREE char *link = path_join(w->scratch, "result");

	TRY(instantiate(w, step, drv));
	const char *const args[] = {"--out-link", link, *drv, NULL};
	TRY(nix_run(step, "nix-build", args, &out));
	return one_line(w, &out, result);
}

/* ---- taking the image in ---- */

enum result_form { RESULT_ARCHIVE, RESULT_PROGRAM };

static bool is_archive(const uint8_t *p, size_t len)
{
	return codec_detect(p, len) != CODEC_NONE || tar_looks_like(p, len);
}

static struct err *not_an_image(const struct nix_work *w, const char *path, const char *what)
{
	return err_hint(err_new(ERR_INVALID, "%s gives %s, not an image: %s", w->rq.file, what, path),
		"an image is a docker-archive, or a program that writes one: what dockerTools' "
		"buildLayeredImage and streamLayeredImage give");
}

/* By what it is, not by its name. */
static struct err *recognise(const struct nix_work *w, const char *path, int *fd, enum result_form *form)
{
	uint8_t first[PEEK];
	struct stat st;

	TRY(file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, fd));
	if (fstat(*fd, &st) < 0)
		return err_sys(errno, "looking at %s", path);
	if (S_ISDIR(st.st_mode))
		return not_an_image(w, path, "a directory");
	ssize_t n = S_ISREG(st.st_mode) ? pread(*fd, first, sizeof(first), 0) : 0;
	if (n < 0)
		return err_sys(errno, "reading %s", path);
	bool program = (n > 2 && !memcmp(first, "#!", 2)) || (n > 4 && !memcmp(first, "\177ELF", 4));
	if (is_archive(first, (size_t)n))
		*form = RESULT_ARCHIVE;
	else if (program && (st.st_mode & 0111))
		*form = RESULT_PROGRAM;
	else
		return not_an_image(w, path, program ? "a program that may not be run" : "a file");
	return NULL;
}

static struct err *take_image(
	struct store *s, const struct nix_work *w, byte_source *source, void *ctx, struct nix_result *out)
{
	struct nix_config edit = {.rq = &w->rq, .inputs = &out->inputs};
	const struct image_stream in = {.source = source,
		.ctx = ctx,
		.edit = nix_edit_config,
		.edit_ctx = &edit,
		.cancel = w->rq.cancel};

	return images_import_stream(s, &in, &out->manifest);
}

static struct err *take_from_program(struct store *s, const struct nix_work *w, struct nix_step *step,
	const char *path, struct nix_result *out)
{
	AUTO(process_stream_freep) struct process_stream *p = NULL;
	const char *const argv[] = {path, NULL};
	const struct process_stream_request rq = {
		.argv = argv,
		.unset = nix_unset,
		.dir = w->scratch,
		.as_outer_user = true,
		.on_errout = nix_step_errout,
		.ctx = step,
		.cancel = w->rq.cancel,
	};

	TRY(process_stream_start(&rq, &p));
	return take_image(s, w, process_stream_read, p, out);
}

/* Without the hash that Nix puts before it. */
static const char *name_of(const char *path)
{
	const char *base = path_base(path);

	return strlen(base) > STORE_HASH_LEN && base[STORE_HASH_LEN] == '-' ? base + STORE_HASH_LEN + 1
									    : base;
}

static struct err *take_result(
	struct store *s, const struct nix_work *w, const char *path, uint32_t number, struct nix_result *out)
{
	AUTO_FD int fd = -1;
	enum result_form form = RESULT_ARCHIVE;
	struct nix_step step;

	TRY(recognise(w, path, &fd, &form));
	struct fd_source file = {.fd = fd, .what = path};
	nix_step_begin(&step, &w->rq, number, "[image] %s %s",
		form == RESULT_PROGRAM ? "streamed by" : "taken from", name_of(path));
	struct err *e = form == RESULT_PROGRAM ? take_from_program(s, w, &step, path, out)
					       : take_image(s, w, fd_source_read, &file, out);
	if (e)
		e = err_wrap(e, "the image of %s, %s", w->rq.file, path);
	nix_step_end(&step, e);
	return e;
}

static struct err *build(struct store *s, struct nix_work *w, struct nix_result *out)
{
	AUTO_FREE char *drv = NULL, *path = NULL;
	struct nix_step step;

	event_emit(w->rq.events, (struct event){.type = EVENT_PLAN, .total = 2});
	nix_step_begin(&step, &w->rq, 1, "[nix] nix-build %s", w->rq.file);
	struct err *e = run_nix_build(w, &step, &drv, &path);
	nix_step_end(&step, e);
	TRY(e);
	inputs_digest(drv, &out->inputs);
	return take_result(s, w, path, 2, out);
}

struct err *nix_build(struct store *s, const struct nix_request *rq, struct nix_result *out)
{
	AUTO(work_fini) struct nix_work w = {0};
	struct nix_result r = {0};

	TRY(make_real(&w, rq));
	TRY(store_scratch(s, &w.scratch));
	TRY(build(s, &w, &r));
	*out = r;
	return NULL;
}

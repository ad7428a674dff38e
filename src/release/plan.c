/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "oci/images.h"
#include "oci/reference.h"
#include "release/release.h"
#include "release/release_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BUILD_FILE_MAX (4u << 20)
/* Of one file of a changed folder; what is larger has no place in a build context that is released. */
#define DIRTY_FILE_MAX (1u << 30)

void release_job_fini(struct release_job *j)
{
	mem_freep(&j->version);
	mem_freep(&j->tag);
	mem_freep(&j->reference);
	mem_freep(&j->runner);
	*j = (struct release_job){0};
}

void release_plan_fini(struct release_plan *p)
{
	for (size_t i = 0; i < p->jobs.len; i++)
		release_job_fini(vec_at(&p->jobs, i));
	vec_fini(&p->jobs);
	container_fini(&p->container);
	commit_fini(&p->commit);
	repo_config_fini(&p->config);
	mem_freep(&p->source_url);
	*p = (struct release_plan){0};
}

char *release_image(const struct repo_config *cfg, const char *name)
{
	return mem_printf(
		"%s/%s/%s", cfg->registry ? cfg->registry : IMAGES_OWN_REGISTRY, cfg->namespace_, name);
}

char *release_prefix(const struct repo_config *cfg)
{
	return release_image(cfg, "");
}

/* One entry of a changed folder, below dirfd. */
static struct err *hash_tree(struct hasher *h, int dirfd, const char *prefix, unsigned depth);

static struct err *hash_entry(struct hasher *h, int dirfd, const char *name, const char *path, unsigned depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return err_sys(errno, "looking at %s", path);
	hasher_add_field(h, str_c(path));
	hasher_add_u64(h, st.st_mode & (S_IFMT | S_IXUSR));
	if (S_ISLNK(st.st_mode)) {
		char target[4096];
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
		if (n < 0)
			return err_sys(errno, "reading link %s", path);
		hasher_add_field(h, str_n(target, (size_t)n));
		return NULL;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return NULL;
	AUTO_FD int fd = -1;
	TRY(file_open(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd));
	if (S_ISDIR(st.st_mode))
		return hash_tree(h, fd, path, depth + 1);
	AUTO_BUF struct buf content = {0};
	TRY(fd_read_all(fd, DIRTY_FILE_MAX, path, &content));
	hasher_add_field(h, buf_str(&content));
	return NULL;
}

static struct err *hash_tree(struct hasher *h, int dirfd, const char *prefix, unsigned depth)
{
	if (depth > 100)
		return err_new(ERR_INVALID, "%s: folders are nested too deeply", prefix);
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(dirfd, ".", &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", prefix, names.ptr[i]);
		TRY(hash_entry(h, dirfd, names.ptr[i], path, depth));
	}
	return NULL;
}

static struct err *dirty_digest(const struct release_plan *p, const char *root, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	AUTO_FD int rootfd = -1, fd = -1;
	TRY(file_open(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0, &rootfd));
	TRY(root_open(rootfd, p->container.dir, O_RDONLY | O_DIRECTORY, 0, &fd));
	TRY(hash_tree(h, fd, p->container.dir, 0));
	hasher_finish(h, out);
	return NULL;
}

static struct err *refuse_dirty(const struct release_plan *p, const struct strvec *changed)
{
	AUTO_BUF struct buf list = {0};
	for (size_t i = 0; i < changed->len; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", changed->ptr[i]);
	return err_hint(err_new(ERR_INVALID, "%s has changes that are not committed: %s", p->container.dir,
				buf_cstr(&list)),
		"commit and push them; or --ref HEAD for the commit as it is; or --force for a tag that "
		"nothing may pin");
}

static struct err *check_work_tree(const struct release_request *rq, struct release_plan *p)
{
	/* A commit asked for by name is built as it is, whatever lies in the work tree. */
	if (rq->ref || rq->unchecked)
		return NULL;
	AUTO_STRVEC struct strvec changed = {0};
	bool dirty = false;
	TRY(repo_dirty(rq->repo, p->container.dir, &dirty, &changed));
	if (dirty && !rq->force)
		return refuse_dirty(p, &changed);
	p->dirty = dirty;
	return NULL;
}

static struct err *check_pushed(const struct release_request *rq, struct release_plan *p)
{
	bool pushed = false, has_remote = false;
	if (rq->unchecked)
		return NULL;
	TRY(repo_is_pushed(rq->repo, &p->commit, &pushed, &has_remote));
	if (pushed)
		return NULL;
	if (!rq->force)
		return err_hint(
			err_new(ERR_INVALID,
				"commit %s (\"%s\") is on no branch of a remote, as far as was fetched",
				p->commit.short_id, p->commit.subject),
			"git push (or git fetch, if it is there); --force releases it under a tag that "
			"nothing may pin");
	p->unpushed = true;
	p->forced = true;
	return NULL;
}

/* *out NULL when the file declares none. */
static struct err *declared_version(
	const struct release_request *rq, const struct release_plan *p, enum build_kind kind, char **out)
{
	AUTO_FREE char *path = mem_printf("%s/%s", p->container.dir, build_kind_file(kind));
	AUTO_BUF struct buf text = {0};
	bool found = false;
	TRY(repo_read_at(rq->repo, p->dirty ? NULL : &p->commit, path, BUILD_FILE_MAX, &text, &found));
	if (!found)
		return err_new(ERR_NOT_FOUND, "%s is not in the work tree", path);
	return version_extract(kind, buf_str(&text), path, rq->events, out);
}

static struct err *no_version(const struct release_plan *p, enum build_kind kind)
{
	static const char *const how[BUILD_KINDS] = {
		[KIND_CONTAINER_PY] = "VERSION = \"1.2.3\"",
		[KIND_DOCKERFILE] = "ARG CONTAINER_APP_VERSION=1.2.3",
		[KIND_NIX] = "version = \"1.2.3\";",
	};
	return err_hint(
		err_new(ERR_INVALID, "%s/%s declares no version", p->container.dir, build_kind_file(kind)),
		"add a line: %s", how[kind]);
}

/* A default.nix without a version may have that of the one other build file that declares one. */
static struct err *version_of_neighbour(
	const struct release_request *rq, const struct release_plan *p, char **out)
{
	AUTO_FREE char *py = NULL, *docker = NULL;
	if (p->container.has[KIND_CONTAINER_PY])
		TRY(declared_version(rq, p, KIND_CONTAINER_PY, &py));
	if (p->container.has[KIND_DOCKERFILE])
		TRY(declared_version(rq, p, KIND_DOCKERFILE, &docker));
	if (!py != !docker)
		*out = py ? steal(&py) : steal(&docker);
	return NULL;
}

static char *job_tag(const struct release_plan *p, const struct release_job *j, const struct digest *tree)
{
	if (p->dirty)
		return release_tag_dirty(j->version, &p->commit, j->kind, tree);
	if (p->unpushed)
		return release_tag_unpushed(j->version, &p->commit, j->kind);
	return release_tag(j->version, &p->commit, j->kind);
}

static struct err *job_version(
	const struct release_request *rq, const struct release_plan *p, enum build_kind kind, char **out)
{
	struct err *e = declared_version(rq, p, kind, out);
	if (!e && !*out && kind == KIND_NIX)
		e = version_of_neighbour(rq, p, out);
	if (!e && !*out)
		e = no_version(p, kind);
	if (e && rq->unchecked && err_kind(e) == ERR_INVALID) {
		err_ignore(e, "who only looks needs no version");
		e = NULL;
	}
	return e;
}

static struct err *job_name(const struct release_request *rq, const struct release_plan *p,
	struct release_job *j, const struct digest *tree)
{
	AUTO(reference_fini) struct reference parsed = {0};
	TRY(job_version(rq, p, j->kind, &j->version));
	if (!j->version)
		return NULL;
	j->tag = job_tag(p, j, tree);
	AUTO_FREE char *image = release_image(&p->config, p->container.name);
	j->reference = mem_printf("%s:%s", image, j->tag);
	return reference_parse(j->reference, false, &parsed);
}

static struct err *add_job(const struct release_request *rq, struct release_plan *p, enum build_kind kind,
	const struct digest *tree)
{
	AUTO(release_job_fini) struct release_job j = {.kind = kind};
	TRY(job_name(rq, p, &j, tree));
	const char *runner = envlist_get(&p->config.runners, build_kind_name(kind));
	j.runner = mem_strdup(runner ? runner : "");
	vec_push_copy(&p->jobs, &j);
	j = (struct release_job){0};
	return NULL;
}

static struct err *make_plan(const struct release_request *rq, struct release_plan *p)
{
	TRY(repo_resolve(rq->repo, rq->ref ? rq->ref : "HEAD", &p->commit));
	TRY(repo_config_load(rq->repo, &p->commit, &p->config));
	TRY(repo_container(rq->repo, &p->config, &p->commit, rq->name, &p->container));
	TRY(check_work_tree(rq, p));
	TRY(check_pushed(rq, p));
	TRY(repo_remote_url(rq->repo, &p->source_url));
	struct digest tree = {0};
	if (p->dirty) {
		p->forced = true;
		TRY(dirty_digest(p, repo_root(rq->repo), &tree));
	}
	/* Both would publish the same tag: container.py goes before the Dockerfile it replaces. */
	enum build_kind main = p->container.has[KIND_CONTAINER_PY] ? KIND_CONTAINER_PY : KIND_DOCKERFILE;
	if (p->container.has[main])
		TRY(add_job(rq, p, main, &tree));
	if (p->container.has[KIND_NIX])
		TRY(add_job(rq, p, KIND_NIX, &tree));
	return NULL;
}

struct err *release_plan_make(const struct release_request *rq, struct release_plan *out)
{
	struct release_plan p = {.jobs = VEC_OF(struct release_job)};
	struct err *e = make_plan(rq, &p);
	if (e) {
		release_plan_fini(&p);
		return e;
	}
	*out = p;
	return NULL;
}

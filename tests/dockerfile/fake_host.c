/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_host.h"

#include "base/digest.h"
#include "base/mem.h"

#include <string.h>

static const char plain_config[] =
	"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"PATH=/usr/bin:/"
	"bin\"],\"Cmd\":[\"bash\"]},"
	"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:aa\"]},"
	"\"history\":[{\"created\":\"2024-01-01T00:00:00Z\",\"created_by\":\"base\"}]}";

static struct err *image_config(void *ctx, const char *ref, const char *platform, enum pull_policy pull,
	struct buf *config, char **pinned)
{
	struct fake_host *f = ctx;
	(void)platform;
	(void)pull;
	strvec_push(&f->asked, ref);
	char *name AUTO_FREE = mem_printf("image %s", ref);
	const struct section *s = f->file ? case_section(f->file, name) : NULL;
	if (!s && !strstr(ref, "docker.io/library/debian:") && !strstr(ref, "docker.io/library/alpine:"))
		return err_new(ERR_NOT_FOUND, "not found");
	buf_adds(config, s ? s->text : plain_config);
	char text[DIGEST_TEXT_MAX];
	struct hasher *h AUTO(hasher_freep) = hasher_new(DIGEST_SHA256);
	hasher_add_field(h, str_c(ref));
	struct digest d;
	hasher_finish(h, &d);
	*pinned = mem_printf("%.*s@%s", (int)strcspn(ref, "@"), ref, digest_text(&d, text));
	return NULL;
}

static struct err *read_file(void *ctx, const char *local, const char *path, struct buf *out, bool *found)
{
	struct fake_host *f = ctx;
	char *name AUTO_FREE = mem_printf("local %s", local);
	const struct section *s =
		f->file && strcmp(path, ".dockerignore") == 0 ? case_section(f->file, name) : NULL;
	*found = s != NULL;
	if (s)
		buf_adds(out, s->text);
	return NULL;
}

void fake_host_init(struct fake_host *f, const struct case_file *file)
{
	*f = (struct fake_host){.file = file};
	f->host = (struct dockerfile_host){.ctx = f, .image_config = image_config, .read_file = read_file};
}

void fake_host_fini(struct fake_host *f)
{
	strvec_fini(&f->asked);
}

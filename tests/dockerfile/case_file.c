/* SPDX-License-Identifier: Apache-2.0 */
#include "case_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_all(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return false;
	char chunk[4096];
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(out, chunk, n);
	fclose(f);
	return true;
}

bool case_read(const char *path, struct case_file *out)
{
	struct buf all AUTO_BUF = {0};
	*out = (struct case_file){.path = mem_strdup(path), .sections = VEC_OF(struct section)};
	if (!read_all(path, &all))
		return false;
	struct buf text AUTO_BUF = {0};
	struct section *now = NULL;
	const char *p = buf_cstr(&all);
	while (*p) {
		size_t len = strcspn(p, "\n");
		bool heading = strncmp(p, "=== ", 4) == 0;
		if (heading) {
			if (now)
				now->text = mem_strdup(buf_cstr(&text));
			buf_clear(&text);
			now = vec_push(&out->sections);
			now->name = mem_strndup(p + 4, len - 4);
		} else {
			buf_add(&text, p, len + (p[len] == '\n'));
		}
		p += len + (p[len] == '\n');
	}
	if (now)
		now->text = mem_strdup(buf_cstr(&text));
	return now != NULL;
}

bool case_write(const struct case_file *c)
{
	FILE *f = fopen(c->path, "wb");
	if (!f)
		return false;
	for (size_t i = 0; i < c->sections.len; i++) {
		const struct section *s = vec_at(&c->sections, i);
		size_t len = strlen(s->text);
		fprintf(f, "=== %s\n%s%s", s->name, s->text, len && s->text[len - 1] != '\n' ? "\n" : "");
	}
	return fclose(f) == 0;
}

void case_fini(struct case_file *c)
{
	for (size_t i = 0; i < c->sections.len; i++) {
		struct section *s = vec_at(&c->sections, i);
		free(s->name);
		free(s->text);
	}
	vec_fini(&c->sections);
	free(c->path);
}

struct section *case_section(const struct case_file *c, const char *name)
{
	for (size_t i = 0; i < c->sections.len; i++) {
		struct section *s = vec_at(&c->sections, i);
		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

void case_list(const char *dir, struct strvec *out)
{
	DIR *d = opendir(dir);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (cstr_ends(e->d_name, ".txt"))
			strvec_pushf(out, "%s/%s", dir, e->d_name);
	closedir(d);
	strvec_sort(out);
}

void case_run_folder(const char *folder, bool (*run)(const char *path))
{
	char *dir AUTO_FREE = mem_printf("%s/%s", TEST_SOURCE_DIR, folder);
	struct strvec paths AUTO_STRVEC = {0};
	case_list(dir, &paths);
	assert_true(paths.len > 0);
	size_t failed = 0;
	for (size_t i = 0; i < paths.len; i++)
		failed += !run(paths.ptr[i]);
	assert_int_equal(failed, 0);
}

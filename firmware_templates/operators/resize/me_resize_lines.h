/* SPDX-License-Identifier: Apache-2.0
 * Lines of results that have their neighbours in common: those of several images.
 */
#ifndef ME_RESIZE_LINES_H
#define ME_RESIZE_LINES_H

#include "me_resize.h"
#include "me_share.h"

/* `images` lines of `count` results; in bytes how far apart neighbours, results and images are */
typedef struct {
    int32_t images, count, next, x_step, y_step, x_image, y_image;
} me_lines;

typedef void me_lines_function(const void *params, const int32_t *row, const int8_t *x, int8_t *y,
                               me_lines lines);

/* A core's share, result by result; `width` numbers in a row. Along the innermost axis a line is
 * one result of all images. */
static inline void me_each_result(const me_resize_s8_tile *tile, int32_t width, me_lines_function *run,
                                  const void *params)
{
    const int32_t n = tile->n, results = tile->results, inner = tile->inner;
    const int32_t images = inner == 1 ? 1 : tile->outer, total = images * results;
    me_lines lines = { 0, inner, inner, 1, 1, n * inner, results * inner };
    if (inner == 1)
        lines = (me_lines){ 0, tile->outer, 1, n, results, 0, 0 };
    int32_t at = ME_FIRST(total), result = at / images, image = at % images;
    while (at < ME_LAST(total)) {
        const int32_t *row = tile->rows + result * width;
        const int32_t rest = ME_LAST(total) - at;
        lines.images = images - image < rest ? images - image : rest;
        run(params, row, tile->x + (image * n + row[0] - tile->first) * inner,
            tile->y + (image * results + result) * inner, lines);
        at += lines.images;
        image = 0;
        result++;
    }
}

#endif

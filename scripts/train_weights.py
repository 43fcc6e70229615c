#!/usr/bin/env python3
"""Distil a 4-block ViT (160 px, patch 16, width 192, 1.95 M parameters) from a ViT-Tiny teacher, on CPU.

  train_weights.py prepare   images from git repositories and folders -> crops, teacher targets (fp16, on disk)
  train_weights.py train     feature + attention distillation -> fp16 safetensors + config.json
  train_weights.py evaluate  CIFAR-10 / Tiny-ImageNet kNN and logistic regression, COCO attention, speed, PNG

All paths are arguments. Needs torch, timm, safetensors, numpy, pillow; evaluate also scikit-learn.
"""
import argparse, csv, hashlib, io, json, math, multiprocessing, os, random, subprocess, time
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer

SIZE, GRID, DIM = 160, 10, 192              # student input, patch grid, width
TSIZE, TGRID = 224, 14                      # teacher input and patch grid (its native resolution)
STUDENT = dict(img_size=SIZE, patch_size=16, embed_dim=DIM, depth=4, num_heads=3, num_classes=0,
               class_token=True, global_pool='token')
TEACHER_ATTENTION_BLOCK = 8


# ----------------------------------------------------------------------------- models
def make_model(depth, size=SIZE):
    return VisionTransformer(**{**STUDENT, 'depth': depth, 'img_size': size})


def load_teacher(path, size=SIZE):
    state = {k: v for k, v in load_file(path).items() if not k.startswith('head.')}
    if size != 224:
        state['pos_embed'] = resample_abs_pos_embed(state['pos_embed'], (size // 16, size // 16), num_prefix_tokens=1)
    model = make_model(12, size)
    model.load_state_dict(state, strict=True)
    return model.eval()


def normalise(images):
    """uint8 NHWC -> float NCHW with mean = std = 0.5."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def forward_with_cls_attention(model, x, block):
    """Final-norm tokens, and the head-averaged attention of CLS over the patches in one block (not renormalised)."""
    x = model.norm_pre(model._pos_embed(model.patch_embed(x)))
    attention = None
    for i, blk in enumerate(model.blocks):
        if i == block % len(model.blocks):
            a, y = blk.attn, blk.norm1(x)
            b, n, c = y.shape
            q, k, v = a.qkv(y).reshape(b, n, 3, a.num_heads, c // a.num_heads).permute(2, 0, 3, 1, 4)
            w = (q * a.scale @ k.transpose(-2, -1)).softmax(-1)
            attention = w[:, :, 0, 1:].mean(1)
            x = x + a.proj((w @ v).transpose(1, 2).reshape(b, n, c))
            x = x + blk.mlp(blk.norm2(x))
        else:
            x = blk(x)
    return model.norm(x), attention


def corners(grid):
    return [0, grid - 1, grid * (grid - 1), grid * grid - 1]


def without_corners(attention, grid):
    attention = attention.clone()
    attention[:, corners(grid)] = 0
    return attention / attention.sum(1, keepdim=True)


def area_resample(grid_in, grid_out):
    """(grid_out, grid_in) matrix of area averages along one axis."""
    m = torch.zeros(grid_out, grid_in)
    for o in range(grid_out):
        lo, hi = o * grid_in / grid_out, (o + 1) * grid_in / grid_out
        for i in range(grid_in):
            m[o, i] = max(0.0, min(hi, i + 1) - max(lo, i))
    return m / m.sum(1, keepdim=True)


def teacher_targets(teacher, images):
    """CLS, patch tokens and CLS attention on the student's grid. The corner patches are attention sinks of the
    teacher: their tokens are replaced by the mean of their three neighbours, their attention is removed."""
    z, a = forward_with_cls_attention(teacher, normalise(images), TEACHER_ATTENTION_BLOCK)
    t = z[:, 1:].reshape(-1, TGRID, TGRID, DIM).clone()
    e = TGRID - 1
    for y, x in ((0, 0), (0, e), (e, 0), (e, e)):
        yy, xx = abs(y - 1) if y == 0 else y - 1, abs(x - 1) if x == 0 else x - 1
        t[:, y, x] = (t[:, yy, x] + t[:, y, xx] + t[:, yy, xx]) / 3
    r = area_resample(TGRID, GRID)
    t = torch.einsum('oy,byxd,px->bopd', r, t, r).flatten(1, 2)
    a = without_corners(a, TGRID).reshape(-1, TGRID, TGRID)
    a = torch.einsum('oy,byx,px->bop', r, a, r).flatten(1)
    return z[:, 0], t, a / a.sum(1, keepdim=True)


# ----------------------------------------------------------------------------- prepare
def git_paths(repo, prefix=''):
    out = subprocess.run(['git', '--git-dir=' + repo, 'ls-tree', '-r', '-z', '--name-only', 'HEAD'],
                         check=True, capture_output=True).stdout.decode().split('\0')
    return sorted(p for p in out if p.startswith(prefix) and p.lower().endswith(('.jpg', '.jpeg', '.png')))


def git_read(repo, paths):
    p = subprocess.Popen(['git', '--git-dir=' + repo, 'cat-file', '--batch'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for path in paths:
        p.stdin.write(f'HEAD:{path}\n'.encode())
        p.stdin.flush()
        head = p.stdout.readline().split()
        if head[-1] == b'missing':
            yield path, None
            continue
        data = p.stdout.read(int(head[2]))
        p.stdout.read(1)
        yield path, data
    p.stdin.close()
    p.wait()


def random_crop(im, rng, low, high=1.0):
    w, h = im.size
    for _ in range(10):
        area, ratio = w * h * rng.uniform(low, high), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        cw, ch = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
        if 0 < cw <= w and 0 < ch <= h:
            x, y = rng.randint(0, w - cw), rng.randint(0, h - ch)
            return both_sizes(im, (x, y, x + cw, y + ch))
    return centre(im)


def both_sizes(im, box=None):
    return tuple(np.asarray(im.resize((s, s), Image.BICUBIC, box=box, reducing_gap=3.0)) for s in (SIZE, TSIZE))


def centre(im):
    w, h = im.size
    s = min(w, h)
    return both_sizes(im, ((w - s) / 2, (h - s) / 2, (w + s) / 2, (h + s) / 2))


def split_wnids(args):
    """Tiny-ImageNet classes: never touched (test set kept elsewhere), own unseen-class evaluation, training."""
    excluded = {r['wnid'] for r in csv.DictReader(open(args.exclude_labels))}
    paths = git_paths(args.tiny_git, 'tiny-imagenet-200/train/')
    wnids = sorted({p.split('/')[2] for p in paths} - excluded)
    rng = random.Random(args.seed)
    own_eval = sorted(rng.sample(wnids, 10))
    return excluded, own_eval, [w for w in wnids if w not in own_eval], paths


def coco_images(folder, split):
    d = json.load(open(os.path.join(folder, 'annotations.json')))
    boxes = {}
    for a in d['annotations']:
        boxes.setdefault(a['image_id'], []).append(a['bbox'])
    return [(os.path.join(folder, i['file_name']), i, boxes.get(i['id'], [])) for i in d['images'] if i['split'] == split]


def collect_crops(args):
    """Yield (source, is_validation, (uint8 crop at the student size, the same at the teacher size))."""
    rng = random.Random(args.seed + 1)
    excluded, own_eval, wnids, tiny = split_wnids(args)
    by_class = {w: [] for w in wnids}
    for p in tiny:
        if p.split('/')[2] in by_class:
            by_class[p.split('/')[2]].append(p)
    picks = []
    for w in wnids:
        chosen = rng.sample(by_class[w], args.tiny_per_class + 1)
        picks += [(p, i == 0) for i, p in enumerate(chosen)]

    def as_image(data):
        return Image.open(io.BytesIO(data)).convert('RGB')

    for (path, val), (_, data) in zip(picks, git_read(args.tiny_git, [p for p, _ in picks])):
        im = as_image(data)
        yield 'tiny', val, centre(im) if val or rng.random() < 0.5 else random_crop(im, rng, 0.4)
    photos = [p for p in git_paths(args.samples_git) if p.split('_')[0] not in excluded | set(own_eval)]
    rng.shuffle(photos)
    for n, (path, data) in enumerate(git_read(args.samples_git, photos)):
        im = as_image(data)
        if max(im.size) > 800:
            im.thumbnail((640, 640), Image.BICUBIC, reducing_gap=2.0)
        yield 'samples', n < 80, centre(im)
        if n >= 80:
            for _ in range(args.sample_crops - 1):
                yield 'samples', False, random_crop(im, rng, 0.15)
    for path, _, _ in coco_images(args.coco, 'train2017'):
        im = Image.open(path).convert('RGB')
        yield 'coco', False, both_sizes(im)
        for _ in range(args.coco_crops - 1):
            yield 'coco', False, random_crop(im, rng, 0.15)
    flowers = rng.sample(git_paths(args.flowers_git, 'flowers/'), args.flowers)
    for path, data in git_read(args.flowers_git, flowers):
        yield 'flowers', False, random_crop(as_image(data), rng, 0.4)
    cifar = sorted(os.listdir(os.path.join(args.cifar, 'train')))
    for f in rng.sample(cifar, args.cifar_images):
        yield 'cifar', False, centre(Image.open(os.path.join(args.cifar, 'train', f)).convert('RGB'))


def teacher_worker(args, images, part, parts):
    torch.set_num_threads(1)
    n, start = len(images), time.time()
    out = [np.load(os.path.join(args.work, f + '.npy'), mmap_mode='r+') for f in ('cls', 'patch', 'attn')]
    teacher = load_teacher(args.teacher, TSIZE)
    todo = list(range(0, n, 32))[part::parts]
    with torch.inference_mode():
        for k, i in enumerate(todo):
            for array, values in zip(out, teacher_targets(teacher, images[i:i + 32])):
                array[i:i + 32] = values.numpy()
            if k % 50 == 0:
                print(f'worker {part}: {k + 1}/{len(todo)} {(k + 1) * 32 / (time.time() - start):.1f} img/s', flush=True)
    for array in out:
        array.flush()


def prepare(args):
    os.makedirs(args.work, exist_ok=True)
    start, sources, vals, small, large = time.time(), [], [], [], []
    for source, val, (a, b) in collect_crops(args):
        sources.append(source), vals.append(val), small.append(a), large.append(b)
    order = np.random.default_rng(args.seed).permutation(len(small))
    np.save(os.path.join(args.work, 'images.npy'), np.stack([small[i] for i in order]))
    del small
    large = np.stack([large[i] for i in order])
    sources, vals, n = np.array(sources)[order], np.array(vals)[order], len(order)
    np.savez(os.path.join(args.work, 'index.npz'), source=sources, val=vals)
    print(f'{n} crops in {time.time() - start:.0f} s', {str(s): int((sources == s).sum()) for s in sorted(set(sources))},
          'validation', int(vals.sum()), flush=True)
    for name, shape in (('cls', (n, DIM)), ('patch', (n, GRID * GRID, DIM)), ('attn', (n, GRID * GRID))):
        np.lib.format.open_memmap(os.path.join(args.work, name + '.npy'), 'w+', np.float16, shape).flush()
    fork = multiprocessing.get_context('fork')
    workers = [fork.Process(target=teacher_worker, args=(args, large, k, args.threads)) for k in range(args.threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    if any(w.exitcode for w in workers):
        raise SystemExit('a teacher worker failed')


# ----------------------------------------------------------------------------- train
def initial_state(teacher_path, blocks):
    """Student state from the teacher: embeddings, norm, and for student block i the teacher's blocks[i].
    An entry such as 8+11 takes norm1 and attention from block 8 and norm2 and MLP from block 11."""
    t = load_file(teacher_path)
    state = {k: v for k, v in t.items() if not k.startswith(('head.', 'blocks.'))}
    state['pos_embed'] = resample_abs_pos_embed(t['pos_embed'], (GRID, GRID), num_prefix_tokens=1)
    for i, entry in enumerate(blocks.split(',')):
        first, _, second = entry.partition('+')
        for part, source in (('norm1', first), ('attn', first), ('norm2', second or first), ('mlp', second or first)):
            prefix = f'blocks.{source}.{part}.'
            state.update({f'blocks.{i}.{part}.' + k[len(prefix):]: v for k, v in t.items() if k.startswith(prefix)})
    return state, (t['head.weight'], t['head.bias'])


class Distillation:
    def __init__(self, args, head):
        self.head = head
        at = {k: np.load(os.path.join(args.work, k + '.npy'), mmap_mode='r') for k in ('images', 'cls', 'patch', 'attn')}
        self.at = at
        index = np.load(os.path.join(args.work, 'index.npz'))
        rows = np.arange(args.limit or len(index['val']))
        self.train, self.val = rows[~index['val'][rows]], rows[index['val'][rows]]
        sample = np.sort(np.random.default_rng(0).choice(self.train, min(2000, len(self.train)), replace=False))
        c, p = (torch.from_numpy(at[k][sample].astype(np.float32)).flatten(0, -2) for k in ('cls', 'patch'))
        self.cls_std, self.patch_std = c.std(0), p.std(0)

    def batch(self, rows, flip=None):
        x = normalise(self.at['images'][rows])
        c, p, a = (torch.from_numpy(self.at[k][rows].astype(np.float32)) for k in ('cls', 'patch', 'attn'))
        if flip is not None and flip.any():
            f = torch.from_numpy(np.flatnonzero(flip))
            x[f] = x[f].flip(3)
            p[f] = p[f].unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
            a[f] = a[f].unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
        return x, c, p, a

    def losses(self, tokens, attention, c, p, a):
        zc, zp = tokens[:, 0], tokens[:, 1:]
        q = attention / attention.sum(1, keepdim=True)
        soft = lambda z: F.log_softmax(F.linear(z, *self.head) / 2, -1)
        return dict(
            cls_cos=1 - F.cosine_similarity(zc, c, dim=-1).mean(),
            cls_l1=F.smooth_l1_loss(zc / self.cls_std, c / self.cls_std),
            patch_cos=1 - F.cosine_similarity(zp, p, dim=-1).mean(),
            patch_l1=F.smooth_l1_loss(zp / self.patch_std, p / self.patch_std),
            attn=(a * (a.clamp_min(1e-8).log() - q.clamp_min(1e-8).log())).sum(1).mean(),
            head=F.kl_div(soft(zc), soft(c), log_target=True, reduction='batchmean'))


WEIGHTS = dict(cls_cos=2.0, cls_l1=2.0, patch_cos=1.0, patch_l1=1.0, head=0.3)     # attn: --attn-weight


def train(args):
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    state, head = initial_state(args.teacher, args.init_blocks)
    model, ema = make_model(STUDENT['depth']), make_model(STUDENT['depth'])
    if args.init_checkpoint:
        state = {k: v.float() for k, v in load_file(args.init_checkpoint).items()}
    model.load_state_dict(state, strict=True), ema.load_state_dict(state, strict=True)
    weights = {**WEIGHTS, 'attn': args.attn_weight}
    data = Distillation(args, head)
    decay = [p for n, p in model.named_parameters() if p.ndim > 1 and n not in ('pos_embed', 'cls_token')]
    plain = [p for n, p in model.named_parameters() if not (p.ndim > 1 and n not in ('pos_embed', 'cls_token'))]
    opt = torch.optim.AdamW([dict(params=decay, weight_decay=0.02), dict(params=plain, weight_decay=0.0)], lr=args.lr)
    pairs = list(zip(ema.parameters(), model.parameters()))
    ema.requires_grad_(False)

    def validate(m):
        m.eval()
        total = {}
        with torch.inference_mode():
            for i in range(0, len(data.val), 64):
                rows = data.val[i:i + 64]
                x, *t = data.batch(rows)
                for k, v in data.losses(*forward_with_cls_attention(m, x, -1), *t).items():
                    total[k] = total.get(k, 0.0) + v.item() * len(rows) / len(data.val)
        return {k: round(v, 4) for k, v in total.items()}

    def save():
        os.makedirs(args.out, exist_ok=True)
        path = os.path.join(args.out, args.name + '.safetensors')
        save_file({k: v.to(torch.float16).contiguous() for k, v in ema.state_dict().items()}, path,
                  metadata=dict(format='pt', architecture='timm.models.vision_transformer.VisionTransformer'))
        config = dict(
            architecture='timm.models.vision_transformer.VisionTransformer', constructor=STUDENT,
            input_size=[3, SIZE, SIZE], interpolation='bicubic', crop_pct=1.0, crop_mode='center',
            mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5], patch_size=16, grid=[GRID, GRID], num_features=DIM,
            embedding='forward_features(x)[:, 0]', attention='blocks[-1], CLS row over tokens 1.., mean of heads',
            weights=args.name + '.safetensors', dtype='float16')
        with open(os.path.join(args.out, 'config.json'), 'w') as f:
            json.dump(config, f, indent=2)
            f.write('\n')

    queue, start, running = np.empty(0, int), time.time(), {}
    for step in range(args.steps):
        if len(queue) < args.batch:
            queue = np.concatenate([queue, rng.permutation(data.train)])
        rows, queue = np.sort(queue[:args.batch]), queue[args.batch:]
        done = max((step - args.warmup) / max(1, args.steps - args.warmup), (time.time() - start) / (60 * args.minutes))
        if done >= 1:
            break
        lr = args.lr * min(1.0, (step + 1) / args.warmup, 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * max(0.0, done))))
        for g in opt.param_groups:
            g['lr'] = lr
        model.train()
        x, *t = data.batch(rows, rng.random(len(rows)) < 0.5)
        loss = data.losses(*forward_with_cls_attention(model, x, -1), *t)
        opt.zero_grad(set_to_none=True)
        sum(weights[k] * v for k, v in loss.items()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        d = min(args.ema, (step + 1) / (step + 10))
        torch._foreach_lerp_([e for e, _ in pairs], [p.detach() for _, p in pairs], 1 - d)
        for k, v in loss.items():
            running[k] = running.get(k, 0.0) + v.item()
        if (step + 1) % args.log == 0 or step + 1 == args.steps:
            n = (step % args.log) + 1
            print(f'{step + 1}/{args.steps} lr {lr:.1e} {args.batch * (step + 1) / (time.time() - start):.1f} img/s',
                  {k: round(v / n, 4) for k, v in running.items()}, flush=True)
            running = {}
        if args.out and (step + 1) % args.check == 0:
            save()
            print('  validation (EMA)', validate(ema), flush=True)
    print('validation: raw', validate(model), 'EMA', validate(ema), 'samples', step * args.batch, flush=True)
    if args.out:
        save()


# ----------------------------------------------------------------------------- evaluate
def knn_accuracy(f, y, bank, k=20):
    f = f / np.linalg.norm(f, axis=1, keepdims=True)
    s = f[~bank] @ f[bank].T
    top = np.argpartition(-s, k, axis=1)[:, :k]
    w = np.exp(np.take_along_axis(s, top, 1) / 0.07)
    votes = np.zeros((len(s), y.max() + 1))
    for j in range(k):
        votes[np.arange(len(s)), y[bank][top[:, j]]] += w[:, j]
    return float((votes.argmax(1) == y[~bank]).mean())


def logistic_accuracy(f, y, bank):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    sc = StandardScaler().fit(f[bank])
    lr = LogisticRegression(max_iter=200, C=0.01).fit(sc.transform(f[bank]), y[bank])
    return float(lr.score(sc.transform(f[~bank]), y[~bank]))


def embed(model, images, size):
    out = []
    with torch.inference_mode():
        for i in range(0, len(images), 50):
            x = np.stack([np.asarray(im.resize((size, size), Image.BICUBIC)) for im in images[i:i + 50]])
            z = model.forward_features(normalise(x))
            out.append(torch.cat([z[:, 0], z[:, 1:].mean(1)], 1).numpy())
    return np.concatenate(out)


def object_share(model, items, block, size, drop_corners):
    """Share of CLS attention inside the boxes / share of the area, the same for the strongest 5 % of the patches,
    and the attention on the four corner patches before any removal."""
    grid, lift, top, corner = size // 16, [], [], []
    keep = [i for i in range(grid * grid) if not drop_corners or i not in corners(grid)]
    for path, info, boxes in items:
        im = Image.open(path).convert('RGB').resize((size, size), Image.BICUBIC)
        with torch.inference_mode():
            a = forward_with_cls_attention(model, normalise(np.asarray(im)[None]), block)[1][0]
        a = a / a.sum()
        corner.append(float(a[corners(grid)].sum()))
        mask, sx, sy = np.zeros((size, size), np.float32), size / info['width'], size / info['height']
        for x, y, w, h in boxes:
            mask[int(y * sy):int((y + h) * sy) + 1, int(x * sx):int((x + w) * sx) + 1] = 1
        m = torch.from_numpy(mask.reshape(grid, 16, grid, 16).mean((1, 3)).reshape(-1))[keep]
        a, area = a[keep] / a[keep].sum(), float(m.mean())
        if 0.05 < area < 0.9:
            lift.append(float((a * m).sum()) / area)
            top.append(float(m[a.topk(grid * grid // 20).indices].mean()) / area)
    return dict(images=len(lift), lift=round(float(np.mean(lift)), 2), top5_lift=round(float(np.mean(top)), 2),
                corner_share=round(float(np.mean(corner)), 3))


def images_per_second(model, size, batch=16, repeats=5):
    torch.set_num_threads(1)
    x, best = torch.randn(batch, 3, size, size), 0.0
    with torch.inference_mode():
        model.forward_features(x)
        for _ in range(repeats):
            t = time.process_time()
            model.forward_features(x)
            best = max(best, batch / (time.process_time() - t))
    return round(best, 1)


def attention_png(path, columns, items, cell=224):
    """One row per photo: the photo, then for each (title, model, size, block, drop) the attention over the photo."""
    sheet = Image.new('RGB', (cell * (len(columns) + 1), 20 + cell * len(items)), 'white')
    pen = ImageDraw.Draw(sheet)
    for j, title in enumerate(['photo'] + [c[0] for c in columns]):
        pen.text((cell * j + 4, 4), title, fill='black')
    for i, (file, _, boxes) in enumerate(items):
        photo = Image.open(file).convert('RGB')
        sheet.paste(photo.resize((cell, cell), Image.BICUBIC), (0, 20 + cell * i))
        for j, (_, model, size, block, drop) in enumerate(columns):
            x = normalise(np.asarray(photo.resize((size, size), Image.BICUBIC))[None])
            with torch.inference_mode():
                a = forward_with_cls_attention(model, x, block)[1]
            a = without_corners(a, size // 16) if drop else a
            a = a[0].reshape(size // 16, size // 16).numpy()
            heat = Image.fromarray((255 * a / a.max()).astype(np.uint8)).resize((cell, cell), Image.NEAREST)
            h = np.asarray(heat, np.float32)[..., None] / 255
            grey = np.asarray(photo.resize((cell, cell), Image.BICUBIC).convert('L'), np.float32)[..., None]
            mix = grey * 0.45 * (1 - h) + h * np.array([255.0, 210.0, 40.0])
            sheet.paste(Image.fromarray(mix.clip(0, 255).astype(np.uint8)), (cell * (j + 1), 20 + cell * i))
    sheet.save(path)


def evaluate(args):
    student = make_model(STUDENT['depth']).eval()
    student.load_state_dict({k: v.float() for k, v in load_file(os.path.join(args.out, args.name + '.safetensors')).items()})
    torch.manual_seed(args.seed)
    blank = make_model(STUDENT['depth']).eval()
    init = make_model(STUDENT['depth']).eval()
    init.load_state_dict(initial_state(args.teacher, args.init_blocks)[0])
    teacher, teacher_native = load_teacher(args.teacher, SIZE), load_teacher(args.teacher, TSIZE)
    last, ref, result = -1, TEACHER_ATTENTION_BLOCK, {}

    if 'student' in args.models:
        items = [i for i in coco_images(args.coco, 'val2017') if i[2]]
        for name, m, block, size, drop in (
                ('student', student, last, SIZE, False), ('student, corners dropped', student, last, SIZE, True),
                ('teacher block 8 at 224', teacher_native, ref, TSIZE, False),
                ('teacher block 8 at 224, corners dropped', teacher_native, ref, TSIZE, True),
                ('teacher block 8 at 160, corners dropped', teacher, ref, SIZE, True),
                ('teacher last block at 224, corners dropped', teacher_native, last, TSIZE, True),
                ('teacher blocks without training', init, last, SIZE, True), ('random init', blank, last, SIZE, False)):
            result['coco ' + name] = object_share(m, items, block, size, drop)
            print('coco', name, result['coco ' + name], flush=True)
        attention_png(os.path.join(args.out, 'attention_check.png'),
                      [('teacher block 8 (224), no corners', teacher_native, TSIZE, ref, True),
                       ('student last block (160)', student, SIZE, last, False),
                       ('random init', blank, SIZE, last, False)], items[:6])
        result['img/s, one core'] = dict(student=images_per_second(student, SIZE), teacher_224=images_per_second(teacher_native, TSIZE),
                                         teacher_160=images_per_second(teacher, SIZE))
        torch.set_num_threads(args.threads)
        print('img/s, one core', result['img/s, one core'], flush=True)

    rows = list(csv.DictReader(open(os.path.join(args.cifar, 'labels.csv'))))
    cifar = [Image.open(os.path.join(args.cifar, r['file'])).convert('RGB') for r in rows]
    y, bank = np.array([int(r['label_id']) for r in rows]), np.array([r['split'] == 'train' for r in rows])
    _, own_eval, _, paths = split_wnids(args)
    picks = [(p, c, n < 100) for c, w in enumerate(own_eval)
             for n, p in enumerate(sorted(q for q in paths if q.split('/')[2] == w)[:150])]
    tiny = [Image.open(io.BytesIO(d)).convert('RGB') for _, d in git_read(args.tiny_git, [p for p, _, _ in picks])]
    ty, tbank = np.array([c for _, c, _ in picks]), np.array([b for _, _, b in picks])

    def report(name, f, y, bank):
        result[name] = dict(knn20=round(100 * knn_accuracy(f, y, bank), 1), logistic=round(100 * logistic_accuracy(f, y, bank), 1))
        print(name, result[name], flush=True)

    sets = (('tiny10', tiny, ty, tbank), ('cifar10', cifar, y, bank))
    if 'pixels' in args.models:
        for set_name, images, yy, bb in sets:
            raw = np.stack([np.asarray(im) for im in images]).reshape(len(images), -1).astype(np.float32) / 255 - 0.5
            result[set_name + ' raw pixels, kNN k=20'] = round(100 * knn_accuracy(raw, yy, bb), 1)
            print(set_name, 'raw pixels', result[set_name + ' raw pixels, kNN k=20'], flush=True)
    models = dict(student=(student, SIZE), random=(blank, SIZE), untrained=(init, SIZE),
                  teacher160=(teacher, SIZE), teacher224=(teacher_native, TSIZE))
    for name in args.models:
        for set_name, images, yy, bb in sets if name in models else ():
            f = embed(models[name][0], images, models[name][1])
            report(f'{set_name} {name} cls', f[:, :DIM], yy, bb)
            report(f'{set_name} {name} mean patch', f[:, DIM:], yy, bb)
        with open(os.path.join(args.work, 'metrics_' + '_'.join(args.models) + '.json'), 'w') as f:
            json.dump(result, f, indent=1)
    path = os.path.join(args.out, args.name + '.safetensors')
    print('sha256', hashlib.sha256(open(path, 'rb').read()).hexdigest(), os.path.getsize(path), 'bytes')


# ----------------------------------------------------------------------------- main
def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('command', choices=['prepare', 'train', 'evaluate'])
    ap.add_argument('--work', required=True, help='folder for crops and teacher targets')
    ap.add_argument('--out', help='folder for the checkpoint')
    ap.add_argument('--teacher', help='ViT-Tiny/16 224 safetensors, timm key names')
    ap.add_argument('--tiny-git', help='git directory holding tiny-imagenet-200/')
    ap.add_argument('--samples-git', help='git directory of EliSchwartz/imagenet-sample-images')
    ap.add_argument('--flowers-git', help='git directory holding flowers/<class>/*.jpg')
    ap.add_argument('--coco', help='folder with annotations.json (split = train2017 | val2017) and images/')
    ap.add_argument('--cifar', help='folder with train/, test/ and labels.csv')
    ap.add_argument('--exclude-labels', help='CSV with a wnid column: Tiny-ImageNet classes never to touch')
    ap.add_argument('--tiny-per-class', type=int, default=64)
    ap.add_argument('--sample-crops', type=int, default=6)
    ap.add_argument('--coco-crops', type=int, default=12)
    ap.add_argument('--flowers', type=int, default=1400)
    ap.add_argument('--cifar-images', type=int, default=2000)
    ap.add_argument('--name', default='vit_micro_patch16_160_distilled')
    ap.add_argument('--init-blocks', default='0,3,7,11', help='teacher block for each student block')
    ap.add_argument('--init-checkpoint', help='start from this student checkpoint instead (second stage)')
    ap.add_argument('--attn-weight', type=float, default=2.0)
    ap.add_argument('--steps', type=int, default=3000)
    ap.add_argument('--minutes', type=float, default=1e9, help='finish the cosine schedule no later than this')
    ap.add_argument('--batch', type=int, default=64)
    ap.add_argument('--lr', type=float, default=1e-3)
    ap.add_argument('--warmup', type=int, default=100)
    ap.add_argument('--ema', type=float, default=0.997)
    ap.add_argument('--log', type=int, default=50)
    ap.add_argument('--check', type=int, default=500)
    ap.add_argument('--limit', type=int, default=0, help='use only the first rows (trials)')
    ap.add_argument('--models', nargs='*', default=['pixels', 'student', 'random', 'untrained', 'teacher160', 'teacher224'],
                    help='evaluate: what to compare')
    ap.add_argument('--seed', type=int, default=0)
    ap.add_argument('--threads', type=int, default=1)
    return ap.parse_args()


if __name__ == '__main__':
    args = arguments()
    torch.set_num_threads(1 if args.command == 'prepare' else args.threads)
    {'prepare': prepare, 'train': train, 'evaluate': evaluate}[args.command](args)

// preprocess.cu: checks what framescore/kernels/preprocess.h promises and launches the gather.
#include <cstdlib>

#include "device/launch.cuh"
#include "framescore/kernels/preprocess.h"
#include "gather.cuh"

namespace framescore::kernels {
namespace {

constexpr int kMaxFrameSide = 1 << 15;
constexpr int kMaxViewSide = 1 << 14;
constexpr std::int64_t kMaxPixels = 1 << 28;

int planes_of(PixelFormat format) {
  return format == PixelFormat::kNv12 ? 2 : format == PixelFormat::kI420 ? 3 : 1;
}

// Bytes a plane's row holds.
std::int64_t row_bytes(const DeviceFrame& frame, int plane) {
  switch (frame.format) {
    case PixelFormat::kBgr:
    case PixelFormat::kRgb:
      return std::int64_t{3} * frame.width;
    case PixelFormat::kBgra:
    case PixelFormat::kRgba:
      return std::int64_t{4} * frame.width;
    case PixelFormat::kYuyv:
      return std::int64_t{2} * frame.width;
    case PixelFormat::kI420:
      return plane == 0 ? frame.width : frame.width / 2;
    default:
      return frame.width;
  }
}

Status check(const DeviceFrame& frame) {
  const auto format = static_cast<int>(frame.format), matrix = static_cast<int>(frame.matrix);
  if (format < 0 || format > static_cast<int>(PixelFormat::kYuyv)) return Status::kBadType;
  if (matrix < 0 || matrix > static_cast<int>(ColorMatrix::kBt709)) return Status::kBadType;
  if (frame.width < 1 || frame.width > kMaxFrameSide) return Status::kBadShape;
  if (frame.height < 1 || frame.height > kMaxFrameSide) return Status::kBadShape;
  const bool planar = planes_of(frame.format) > 1;
  const bool pairs = planar || frame.format == PixelFormat::kYuyv;
  if (pairs && frame.width % 2 != 0) return Status::kBadShape;
  if (planar && frame.height % 2 != 0) return Status::kBadShape;
  for (int i = 0; i < planes_of(frame.format); ++i) {
    if (frame.plane[i] == nullptr) return Status::kNullPointer;
    if (std::llabs(frame.stride[i]) < row_bytes(frame, i)) return Status::kBadShape;
  }
  return Status::kOk;
}

Status check(const ViewOutput& view, const DeviceFrame& frame) {
  const bool windows = view.kind == ViewKind::kFragments || view.kind == ViewKind::kCrops;
  if (!windows && view.kind != ViewKind::kResize) return Status::kBadType;
  if (view.out == nullptr) return Status::kNullPointer;
  if (view.rows < 1 || view.rows > kMaxViewSide) return Status::kBadShape;
  if (view.columns < 1 || view.columns > kMaxViewSide) return Status::kBadShape;
  std::int64_t pixels = std::int64_t{view.rows} * view.columns;
  if (windows) {
    if (view.rows != view.columns || view.size < 1) return Status::kBadShape;
    if (view.size > frame.width || view.size > frame.height) return Status::kBadShape;
    pixels *= std::int64_t{view.size} * view.size;
  }
  return pixels <= kMaxPixels ? Status::kOk : Status::kBadShape;
}

GatherView gather_view(const ViewOutput& view, int first_block) {
  const bool words = reinterpret_cast<std::uintptr_t>(view.out) % sizeof(std::uint32_t) == 0;
  if (view.kind == ViewKind::kResize) {
    const int pixels = view.rows * view.columns;
    return {view.kind, first_block, pixels, view.columns, 0, 0, words, view.out};
  }
  const int side = view.rows * view.size;
  const int width = view.kind == ViewKind::kCrops ? view.size : side;
  return {view.kind, first_block, side * side, width, view.rows, view.size, words, view.out};
}

int blocks_of(const GatherView& view) {
  const std::int64_t threads = view.kind == ViewKind::kResize
                                   ? std::int64_t{view.pixels} * kTaps
                                   : (std::int64_t{view.pixels} + kPerRun - 1) / kPerRun;
  return static_cast<int>((threads + kGatherThreads - 1) / kGatherThreads);
}

template <class Reader>
Status launch(const GatherParams& params, int blocks, cudaStream_t stream) {
  return device::launch<gather_kernel<Reader>>(dim3(blocks), dim3(kGatherThreads), 0, stream,
                                               params);
}

}  // namespace

Status launch_gather_views(const DeviceFrame& frame, const ViewOutput* views, int count,
                           cudaStream_t stream) {
  if (views == nullptr) return Status::kNullPointer;
  if (count < 1 || count > kMaxViews) return Status::kBadShape;
  if (const Status status = check(frame); status != Status::kOk) return status;
  GatherParams params{};
  for (int i = 0; i < 3; ++i) {
    params.source.plane[i] = frame.plane[i];
    params.source.stride[i] = frame.stride[i];
  }
  params.source.width = frame.width;
  params.source.height = frame.height;
  params.source.yuv = yuv_coefficients(frame.matrix, frame.full_range != 0);
  params.count = count;
  int blocks = 0;
  for (int i = 0; i < count; ++i) {
    if (const Status status = check(views[i], frame); status != Status::kOk) return status;
    params.view[i] = gather_view(views[i], blocks);
    blocks += blocks_of(params.view[i]);
  }
  switch (frame.format) {
    case PixelFormat::kBgr:
      return launch<PackedReader<3, 2>>(params, blocks, stream);
    case PixelFormat::kRgb:
      return launch<PackedReader<3, 0>>(params, blocks, stream);
    case PixelFormat::kGray:
      return launch<GrayReader>(params, blocks, stream);
    case PixelFormat::kBgra:
      return launch<PackedReader<4, 2>>(params, blocks, stream);
    case PixelFormat::kRgba:
      return launch<PackedReader<4, 0>>(params, blocks, stream);
    case PixelFormat::kNv12:
      return launch<Nv12Reader>(params, blocks, stream);
    case PixelFormat::kI420:
      return launch<I420Reader>(params, blocks, stream);
    case PixelFormat::kYuyv:
      return launch<YuyvReader>(params, blocks, stream);
  }
  return Status::kBadType;
}

}  // namespace framescore::kernels

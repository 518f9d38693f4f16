// preprocess_cpu.cpp: the gathers of framescore/preprocess.h on the CPU.
#include <vector>

#include "framescore/preprocess.h"
#include "pixel_readers.h"

namespace framescore {
namespace {

// Calls run(reader) with the reader for the image's layout.
template <class Run>
void with_reader(const ImageView& image, const Run& run) {
  switch (image.format) {
    case PixelFormat::kBgr:
      return run(PackedReader<3, kBgrLanes>(image));
    case PixelFormat::kRgb:
      return run(PackedReader<3, kRgbLanes>(image));
    case PixelFormat::kGray:
      return run(GrayReader(image));
    case PixelFormat::kBgra:
      return run(PackedReader<4, kBgrLanes>(image));
    case PixelFormat::kRgba:
      return run(PackedReader<4, kRgbLanes>(image));
    case PixelFormat::kNv12:
      return run(Nv12Reader(image));
    case PixelFormat::kI420:
      return run(I420Reader(image));
    case PixelFormat::kYuyv:
      return run(YuyvReader(image));
  }
}

// A pixel by a load that stays inside the row even for the row's last pixel.
template <class Reader>
Lanes read_safe(const Reader& reader, const typename Reader::Row& row, std::ptrdiff_t offset) {
  if constexpr (Reader::kReadsNeighbour) {
    return reader.read_last(row, offset);
  } else {
    return reader.read(row, offset);
  }
}

template <class Reader>
void store(Lanes lanes, std::uint8_t* out) {
  out[0] = static_cast<std::uint8_t>(lanes >> Reader::kLanes.r);
  out[1] = static_cast<std::uint8_t>(lanes >> Reader::kLanes.g);
  out[2] = static_cast<std::uint8_t>(lanes >> Reader::kLanes.b);
}

// Where window i of `count` starts along an axis of n pixels; a single window is centred.
int window_start(int i, int count, int n, int size) {
  if (count == 1) return (n - size) / 2;
  return static_cast<int>(std::int64_t{i} * (n - size) / (count - 1));
}

// Copies size x size pixels at (top, left) to out, whose rows are out_stride bytes apart.
template <class Reader>
void copy_window(const Reader& reader, int top, int left, int size, std::uint8_t* out,
                 std::ptrdiff_t out_stride) {
  constexpr int kBytes = Reader::kPixelBytes;
  for (int y = 0; y < size; ++y) {
    const auto row = reader.row(top + y);
    std::uint8_t* to = out + y * out_stride;
    std::ptrdiff_t offset = std::ptrdiff_t{left} * kBytes;
    for (int x = 0; x + 1 < size; ++x, offset += kBytes, to += 3) {
      store<Reader>(reader.read(row, offset), to);
    }
    store<Reader>(read_safe(reader, row, offset), to);
  }
}

// The sample positions of an axis: sample k of output i is centred in the k-th of `taps` equal
// parts of output i's extent.                                              -> [outputs * taps]
std::vector<std::ptrdiff_t> sample_positions(int n, int outputs, int taps, int scale) {
  const std::int64_t samples = std::int64_t{outputs} * taps;
  std::vector<std::ptrdiff_t> positions(static_cast<std::size_t>(samples));
  for (std::int64_t s = 0; s < samples; ++s) {
    positions[static_cast<std::size_t>(s)] = (2 * s + 1) * n / (2 * samples) * scale;
  }
  return positions;
}

template <class Reader>
void store_mean(Lanes sum, unsigned count, std::uint8_t* out) {
  const auto mean = [&](int lane) {
    return static_cast<std::uint8_t>(((sum >> lane & 0xFFFF) + count / 2) / count);
  };
  out[0] = mean(Reader::kLanes.r);
  out[1] = mean(Reader::kLanes.g);
  out[2] = mean(Reader::kLanes.b);
}

// Where a resize samples; kTaps > 0 lets the compiler unroll the taps, 0 takes them at run time.
template <class Reader, int kTaps>
class Resizer {
 public:
  Resizer(const ImageView& image, int out_height, int out_width, int taps)
      : reader_(image),
        taps_(kTaps > 0 ? kTaps : taps),
        out_height_(out_height),
        out_width_(out_width),
        ys_(sample_positions(image.height, out_height, taps_, 1)),
        xs_(sample_positions(image.width, out_width, taps_, Reader::kPixelBytes)),
        rows_(static_cast<std::size_t>(taps_)) {
    const std::ptrdiff_t last_pixel = std::ptrdiff_t{image.width - 1} * Reader::kPixelBytes;
    inner_width_ = out_width;
    if constexpr (Reader::kReadsNeighbour) {
      while (inner_width_ > 0 && xs_[inner_width_ * taps_ - 1] == last_pixel) --inner_width_;
    }
  }

  void run(std::uint8_t* out) {
    for (int i = 0; i < out_height_; ++i) {
      for (int k = 0; k < taps(); ++k)
        rows_[k] = reader_.row(static_cast<int>(ys_[i * taps() + k]));
      int j = 0;
      for (; j < inner_width_; ++j, out += 3) {
        store_mean<Reader>(sum(j, [this](const auto& row, auto x) { return reader_.read(row, x); }),
                           count(), out);
      }
      for (; j < out_width_; ++j, out += 3) {
        store_mean<Reader>(
            sum(j, [this](const auto& row, auto x) { return read_safe(reader_, row, x); }), count(),
            out);
      }
    }
  }

 private:
  int taps() const { return kTaps > 0 ? kTaps : taps_; }
  unsigned count() const { return static_cast<unsigned>(taps() * taps()); }

  template <class Read>
  Lanes sum(int j, const Read& read) const {
    Lanes total = 0;
    for (int kx = 0; kx < taps(); ++kx) {
      const std::ptrdiff_t x = xs_[j * taps() + kx];
      for (int ky = 0; ky < taps(); ++ky) total += read(rows_[ky], x);
    }
    return total;
  }

  Reader reader_;
  int taps_;
  int out_height_, out_width_;
  int inner_width_;                         // output columns clear of the row's last pixel
  std::vector<std::ptrdiff_t> ys_;          // [out_height * taps] rows
  std::vector<std::ptrdiff_t> xs_;          // [out_width * taps] byte offsets in a row
  std::vector<typename Reader::Row> rows_;  // [taps] source rows of the current output row
};

}  // namespace

void gather_fragments(const ImageView& image, int grid, int patch, std::uint8_t* out) {
  const std::ptrdiff_t out_stride = std::ptrdiff_t{3} * grid * patch;
  with_reader(image, [&](const auto& reader) {
    for (int i = 0; i < grid; ++i) {
      for (int j = 0; j < grid; ++j) {
        copy_window(reader, window_start(i, grid, image.height, patch),
                    window_start(j, grid, image.width, patch), patch,
                    out + i * patch * out_stride + std::ptrdiff_t{3} * j * patch, out_stride);
      }
    }
  });
}

void gather_resize(const ImageView& image, int out_height, int out_width, int taps,
                   std::uint8_t* out) {
  with_reader(image, [&]<class Reader>(const Reader&) {
    if (taps == 4) {
      Resizer<Reader, 4>(image, out_height, out_width, taps).run(out);
    } else {
      Resizer<Reader, 0>(image, out_height, out_width, taps).run(out);
    }
  });
}

void gather_crops(const ImageView& image, int grid, int size, std::uint8_t* out) {
  const std::ptrdiff_t out_stride = std::ptrdiff_t{3} * size;
  with_reader(image, [&](const auto& reader) {
    for (int i = 0; i < grid; ++i) {
      for (int j = 0; j < grid; ++j, out += size * out_stride) {
        copy_window(reader, window_start(i, grid, image.height, size),
                    window_start(j, grid, image.width, size), size, out, out_stride);
      }
    }
  });
}

}  // namespace framescore

// preprocess_cpu.cpp: the gathers of framescore/preprocess.h on the CPU.
#include <algorithm>
#include <numeric>
#include <type_traits>
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
template <class Index>
std::vector<Index> sample_positions(int n, int outputs, int taps, int scale) {
  const std::int64_t samples = std::int64_t{outputs} * taps;
  std::vector<Index> positions(static_cast<std::size_t>(samples));
  std::int64_t s = 0;
  for (Index& position : positions) {
    position = static_cast<Index>((2 * s++ + 1) * n / (2 * samples) * scale);
  }
  return positions;
}

// What a resize reads.
struct Sampling {
  Sampling(const ImageView& image, int out_height, int out_width, int taps_each, int pixel_bytes)
      : height(out_height),
        width(out_width),
        taps(taps_each),
        ys(sample_positions<int>(image.height, out_height, taps_each, 1)),
        xs(sample_positions<std::ptrdiff_t>(image.width, out_width, taps_each, pixel_bytes)) {}

  int height, width;               // of the output
  int taps;                        // samples per output pixel along each axis
  std::vector<int> ys;             // [height * taps] source rows
  std::vector<std::ptrdiff_t> xs;  // [width * taps] byte offsets within a source row
};

template <class Reader>
void store_mean(Lanes sum, unsigned count, std::uint8_t* out) {
  const auto mean = [&](int lane) {
    return static_cast<std::uint8_t>(((sum >> lane & 0xFFFF) + count / 2) / count);
  };
  out[0] = mean(Reader::kLanes.r);
  out[1] = mean(Reader::kLanes.g);
  out[2] = mean(Reader::kLanes.b);
}

// Resizes packed and gray layouts pixel by pixel, all channels in one addition per tap.
// kTaps > 0 lets the compiler unroll the taps; 0 takes their number at run time.
template <class Reader, int kTaps>
class LaneResizer {
 public:
  LaneResizer(const ImageView& image, const Sampling& at, const Reader& reader)
      : reader_(reader), at_(at), rows_(at.taps), inner_width_(at.width) {
    const std::ptrdiff_t last_pixel = std::ptrdiff_t{image.width - 1} * Reader::kPixelBytes;
    if constexpr (Reader::kReadsNeighbour) {
      while (inner_width_ > 0 && at_.xs[inner_width_ * taps() - 1] == last_pixel) --inner_width_;
    }
  }

  void run(std::uint8_t* out) {
    const auto read_fast = [this](const auto& row, auto x) { return reader_.read(row, x); };
    const auto read_last = [this](const auto& row, auto x) { return read_safe(reader_, row, x); };
    for (int i = 0; i < at_.height; ++i) {
      for (int k = 0; k < taps(); ++k) rows_[k] = reader_.row(at_.ys[i * taps() + k]);
      int j = 0;
      for (; j < inner_width_; ++j, out += 3) store_mean<Reader>(sum(j, read_fast), count(), out);
      for (; j < at_.width; ++j, out += 3) store_mean<Reader>(sum(j, read_last), count(), out);
    }
  }

 private:
  int taps() const { return kTaps > 0 ? kTaps : at_.taps; }
  unsigned count() const { return static_cast<unsigned>(taps() * taps()); }

  template <class Read>
  Lanes sum(int j, const Read& read) const {
    Lanes total = 0;
    for (int kx = 0; kx < taps(); ++kx) {
      const std::ptrdiff_t x = at_.xs[j * taps() + kx];
      for (int ky = 0; ky < taps(); ++ky) total += read(rows_[ky], x);
    }
    return total;
  }

  Reader reader_;
  const Sampling& at_;
  std::vector<typename Reader::Row> rows_;  // [taps] source rows of the current output row
  int inner_width_;                         // output columns clear of the row's last pixel
};

// Converts n pixels and adds them to r, g, b; __restrict lets the compiler vectorise it.
void add_rgb(const YuvConverter& to_rgb, const YuvWord* __restrict words, std::size_t n,
             std::uint16_t* __restrict r, std::uint16_t* __restrict g,
             std::uint16_t* __restrict b) {
  const YuvConverter converter = to_rgb;
  for (std::size_t s = 0; s < n; ++s) {
    const Rgb pixel = converter.convert(words[s]);
    r[s] = static_cast<std::uint16_t>(r[s] + pixel.r);
    g[s] = static_cast<std::uint16_t>(g[s] + pixel.g);
    b[s] = static_cast<std::uint16_t>(b[s] + pixel.b);
  }
}

// Resizes Y'CbCr layouts by the row: picks a source row's samples, then converts them together,
// which vectorises where converting tap by tap would not.
template <class Reader, int kTaps>
class YuvResizer {
 public:
  YuvResizer(const ImageView&, const Sampling& at, const Reader& reader)
      : reader_(reader), at_(at), samples_(at.xs.size()), picked_(samples_), sums_(3 * samples_) {}

  void run(std::uint8_t* out) {
    for (int i = 0; i < at_.height; ++i, out += 3 * at_.width) {
      std::fill(sums_.begin(), sums_.end(), std::uint16_t{0});
      for (int k = 0; k < taps(); ++k) {
        pick(reader_.row(at_.ys[i * taps() + k]));
        add_rgb(reader_, picked_.data(), samples_, sums_.data(), sums_.data() + samples_,
                sums_.data() + 2 * samples_);
      }
      for (int channel = 0; channel < 3; ++channel) store_channel(channel, out + channel);
    }
  }

 private:
  int taps() const { return kTaps > 0 ? kTaps : at_.taps; }

  void pick(const typename Reader::Row& row) {
    for (std::size_t s = 0; s < samples_; ++s) picked_[s] = reader_.sample(row, at_.xs[s]);
  }

  void store_channel(int channel, std::uint8_t* out) const {
    const auto count = static_cast<unsigned>(taps() * taps());
    const std::uint16_t* sums = sums_.data() + static_cast<std::size_t>(channel) * samples_;
    for (int j = 0; j < at_.width; ++j, out += 3, sums += taps()) {
      const unsigned total = std::accumulate(sums, sums + taps(), 0u);
      *out = static_cast<std::uint8_t>((total + count / 2) / count);
    }
  }

  Reader reader_;
  const Sampling& at_;
  std::size_t samples_;              // per source row: out_width * taps
  std::vector<YuvWord> picked_;      // [samples] of one source row
  std::vector<std::uint16_t> sums_;  // [3, samples] R, G, B added over the taps' rows
};

template <class Reader, int kTaps>
using Resizer = std::conditional_t<std::is_base_of_v<YuvConverter, Reader>,
                                   YuvResizer<Reader, kTaps>, LaneResizer<Reader, kTaps>>;

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
  with_reader(image, [&]<class Reader>(const Reader& reader) {
    const Sampling at(image, out_height, out_width, taps, Reader::kPixelBytes);
    if (taps == 4) {  // what models use
      Resizer<Reader, 4>(image, at, reader).run(out);
    } else {
      Resizer<Reader, 0>(image, at, reader).run(out);
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

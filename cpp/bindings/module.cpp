// module.cpp: sdk._core, the gathers of framescore/preprocess.h on numpy arrays. Binding only: it
// checks that the arrays are what the header's preconditions ask for and releases the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "framescore/preprocess.h"

namespace py = pybind11;

namespace {

using framescore::ColorMatrix;
using framescore::ImageView;
using framescore::PixelFormat;

void require(bool ok, const std::string& message) {
  if (!ok) throw py::value_error(message);
}

PixelFormat parse_format(const std::string& name) {
  if (name == "bgr") return PixelFormat::kBgr;
  if (name == "rgb") return PixelFormat::kRgb;
  if (name == "gray") return PixelFormat::kGray;
  if (name == "bgra") return PixelFormat::kBgra;
  if (name == "rgba") return PixelFormat::kRgba;
  if (name == "nv12") return PixelFormat::kNv12;
  if (name == "i420") return PixelFormat::kI420;
  if (name == "yuyv") return PixelFormat::kYuyv;
  throw py::value_error("pixel format is '" + name +
                        "'; allowed are bgr, rgb, gray, bgra, rgba, nv12, i420, yuyv.");
}

ColorMatrix parse_matrix(const std::string& name) {
  if (name == "bt601") return ColorMatrix::kBt601;
  if (name == "bt709") return ColorMatrix::kBt709;
  throw py::value_error("matrix is '" + name + "'; allowed are bt601, bt709.");
}

// Samples per pixel of an array's last axis; 1 for formats whose arrays are [rows, width].
int channels_of(PixelFormat format) {
  switch (format) {
    case PixelFormat::kBgr:
    case PixelFormat::kRgb:
      return 3;
    case PixelFormat::kBgra:
    case PixelFormat::kRgba:
      return 4;
    case PixelFormat::kYuyv:
      return 2;
    default:
      return 1;
  }
}

// Checks type, shape and strides: pixels packed, rows anywhere (I420 packed as a whole).
void check_layout(const py::array& data, PixelFormat format) {
  const int channels = channels_of(format);
  require(py::isinstance<py::array_t<std::uint8_t>>(data), "frame data must be uint8.");
  require(data.ndim() == (channels == 1 ? 2 : 3), "frame data has " + std::to_string(data.ndim()) +
                                                      " axes; this pixel format has " +
                                                      (channels == 1 ? "2." : "3."));
  require(channels == 1 || data.shape(2) == channels,
          "frame data's last axis must have " + std::to_string(channels) + " samples.");
  require(data.shape(0) >= 1 && data.shape(1) >= 1, "frame data is empty.");
  require(data.shape(0) <= 65536 && data.shape(1) <= 65536, "frame data has over 65536 on a side.");
  require(data.strides(1) == channels && (channels == 1 || data.strides(2) == 1),
          "frame data's pixels must be packed; copy it with numpy.ascontiguousarray.");
}

ImageView image_view(const py::array& data, const std::string& format_name,
                     const std::string& matrix, bool full_range) {
  ImageView view{};
  view.format = parse_format(format_name);
  view.matrix = parse_matrix(matrix);
  view.full_range = full_range;
  check_layout(data, view.format);
  const auto rows = static_cast<int>(data.shape(0));
  const std::ptrdiff_t stride = data.strides(0);
  view.width = static_cast<int>(data.shape(1));
  view.height = rows;
  view.plane[0] = static_cast<const std::uint8_t*>(data.data());
  view.stride[0] = stride;
  if (view.format == PixelFormat::kYuyv) require(view.width % 2 == 0, "YUYV needs an even width.");
  if (view.format != PixelFormat::kNv12 && view.format != PixelFormat::kI420) return view;

  require(rows % 3 == 0 && view.width % 2 == 0,
          "4:2:0 data is [height * 3/2, width] with even height and width.");
  view.height = rows / 3 * 2;
  view.plane[1] = view.plane[0] + view.height * stride;
  view.stride[1] = stride;
  if (view.format == PixelFormat::kI420) {
    require(stride == view.width, "I420 data must be contiguous; use numpy.ascontiguousarray.");
    view.stride[1] = view.stride[2] = view.width / 2;
    view.plane[2] = view.plane[1] + std::ptrdiff_t{view.height / 2} * (view.width / 2);
  }
  return view;
}

// The output's first byte, after checking that it is writable [count, height, width, 3].
std::uint8_t* output(py::array& out, py::ssize_t count, py::ssize_t height, py::ssize_t width) {
  require(py::isinstance<py::array_t<std::uint8_t, py::array::c_style>>(out) && out.writeable() &&
              out.ndim() == 4 && out.shape(0) == count && out.shape(1) == height &&
              out.shape(2) == width && out.shape(3) == 3,
          "out must be a writable, C-contiguous uint8 array of shape [" + std::to_string(count) +
              ", " + std::to_string(height) + ", " + std::to_string(width) + ", 3].");
  return static_cast<std::uint8_t*>(out.mutable_data());
}

void check_windows(const ImageView& view, int grid, int size) {
  require(grid >= 1 && grid <= 1024, "grid is " + std::to_string(grid) + "; allowed are 1..1024.");
  require(size >= 1 && size <= view.width && size <= view.height,
          "window of " + std::to_string(size) + " pixels does not fit a frame of " +
              std::to_string(view.width) + "x" + std::to_string(view.height) + ".");
}

void fragments(const py::array& data, const std::string& format, const std::string& matrix,
               bool full_range, int grid, int patch, py::array& out) {
  const ImageView view = image_view(data, format, matrix, full_range);
  check_windows(view, grid, patch);
  const py::ssize_t side = py::ssize_t{grid} * patch;
  std::uint8_t* to = output(out, 1, side, side);
  const py::gil_scoped_release release;
  framescore::gather_fragments(view, grid, patch, to);
}

void resize(const py::array& data, const std::string& format, const std::string& matrix,
            bool full_range, int height, int width, int taps, py::array& out) {
  const ImageView view = image_view(data, format, matrix, full_range);
  require(height >= 1 && width >= 1 && height <= 65536 && width <= 65536,
          "output size must be 1..65536 on a side.");
  require(taps >= 1 && taps <= 16, "taps is " + std::to_string(taps) + "; allowed are 1..16.");
  std::uint8_t* to = output(out, 1, height, width);
  const py::gil_scoped_release release;
  framescore::gather_resize(view, height, width, taps, to);
}

void crops(const py::array& data, const std::string& format, const std::string& matrix,
           bool full_range, int grid, int size, py::array& out) {
  const ImageView view = image_view(data, format, matrix, full_range);
  check_windows(view, grid, size);
  std::uint8_t* to = output(out, py::ssize_t{grid} * grid, size, size);
  const py::gil_scoped_release release;
  framescore::gather_crops(view, grid, size, to);
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Gathers a model's views from a frame; sdk.preprocess defines what they compute.";
  m.def("fragments", &fragments, py::arg("data"), py::arg("format"), py::arg("matrix"),
        py::arg("full_range"), py::arg("grid"), py::arg("patch"), py::arg("out"),
        "out [1, grid*patch, grid*patch, 3]: spliced patches.");
  m.def("resize", &resize, py::arg("data"), py::arg("format"), py::arg("matrix"),
        py::arg("full_range"), py::arg("height"), py::arg("width"), py::arg("taps"), py::arg("out"),
        "out [1, height, width, 3]: means of taps x taps samples.");
  m.def("crops", &crops, py::arg("data"), py::arg("format"), py::arg("matrix"),
        py::arg("full_range"), py::arg("grid"), py::arg("size"), py::arg("out"),
        "out [grid*grid, size, size, 3]: evenly spaced crops.");
}

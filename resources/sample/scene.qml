<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
 <pipe>
  <rasterrenderer type="multibandcolor" opacity="1" alphaBand="-1" redBand="17" greenBand="11" blueBand="5">
   <redContrastEnhancement>
    <minValue>0.005</minValue>
    <maxValue>0.26</maxValue>
    <algorithm>StretchToMinimumMaximum</algorithm>
   </redContrastEnhancement>
   <greenContrastEnhancement>
    <minValue>0.015</minValue>
    <maxValue>0.22</maxValue>
    <algorithm>StretchToMinimumMaximum</algorithm>
   </greenContrastEnhancement>
   <blueContrastEnhancement>
    <minValue>0.01</minValue>
    <maxValue>0.18</maxValue>
    <algorithm>StretchToMinimumMaximum</algorithm>
   </blueContrastEnhancement>
  </rasterrenderer>
  <brightnesscontrast brightness="0" contrast="0" gamma="1.18" />
 </pipe>
</qgis>
